"""Settings of the site. `python notebooks/build.py FOLDER` copies this folder, fills the copy and builds it."""

import importlib.metadata
import warnings
from pathlib import Path
from typing import Any

import latex2mathml.converter
from docutils.nodes import SkipNode
from sphinx.util import logging

project = "shiftfix"
author = "The shiftfix developers"
copyright = "the shiftfix developers; BSD-3-Clause"
release = version = importlib.metadata.version("shiftfix")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["gallery/*", "pictures/*.py", "examples/*.ipynb", "examples/*.py", "examples/*.zip"]
nitpicky = True  # a name in a docstring that leads nowhere is a warning, and the build takes warnings for errors
nitpick_ignore_regex = [("py:.*", r"(sklearn|numpy|torch|pandas|polars|scipy|matplotlib|optuna)\..*")]

# Notebooks arrive executed: `build.py` runs them, one a core, before Sphinx starts.
nb_execution_mode = "off"
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]

autodoc_typehints = "none"
autodoc_class_signature = "mixed"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
add_module_names = False
toc_object_entries = False

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "unsrt"
bibtex_reference_style = "author_year"

html_theme = "pydata_sphinx_theme"
html_title = "shiftfix"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/mark.svg"
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "shiftfix", "image_light": "_static/mark.svg", "image_dark": "_static/mark.svg"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
# Pages with nothing beside them.
ALONE = "index start choose methods glossary limits in_python command_line why cost comparison"
ALONE += " contributing changelog datasets"
html_sidebars = {page: [] for page in ALONE.split()}
# Formulas are MathML, which browsers draw themselves: no page asks another host for anything.
html_math_renderer = "mathml"

# Addresses are checked by `sphinx-build -b linkcheck`, where there is a network.
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_anchors = False

HERE = Path(__file__).parent


def mathml(node: Any, display: str) -> str:
    """A formula as MathML; a command that is not known would stand in it with its backslash."""
    formula = latex2mathml.converter.convert(node.astext().strip(), display=display)
    if ">\\" in formula:
        logging.getLogger(__name__).warning("a command of LaTeX that is not known: %s", node.astext(), location=node)
    return formula


def inline_mathml(translator: Any, node: Any) -> None:
    """A formula within a line."""
    translator.body.append(mathml(node, "inline"))
    raise SkipNode


def block_mathml(translator: Any, node: Any) -> None:
    """A formula on lines of its own; it scrolls by itself where the screen is narrow."""
    translator.body.append(f'<div class="formula" tabindex="0">{mathml(node, "block")}</div>\n')
    raise SkipNode


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", inline_renderers=(inline_mathml, None), block_renderers=(block_mathml, None))


def leave_figures_alone(gallery_conf: dict, fname: str) -> None:
    """Each example starts from matplotlib's defaults, drawn to no screen."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcdefaults()
    warnings.resetwarnings()
    warnings.simplefilter("default")


sphinx_gallery_conf = {
    "examples_dirs": ["gallery"],
    "gallery_dirs": ["examples"],
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": (leave_figures_alone,),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "write_computation_times": False,
    "min_reported_time": 5,
    "remove_config_comments": True,
    "doc_module": ("shiftfix",),
    "backreferences_dir": "backreferences",
    "default_thumb_file": str(HERE / "_static" / "mark.png"),
    "thumbnail_size": (400, 280),
    "matplotlib_animations": False,
}
