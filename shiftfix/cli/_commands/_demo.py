"""``shiftfix demo``."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from shiftfix.cli._choices import DEBUG
from shiftfix.cli._exit import exit_codes

HELP = (
    "Repair known shifts, and show what the repair is worth. Without a name: the two demos that need no "
    "file. Each row is the median over the seeds; 'oracle' is the same model with the true weights or class "
    "shares."
)


def demo(
    name: Annotated[str | None, typer.Argument(help="Name of a demo; see --list.")] = None,
    list_names: Annotated[
        bool, typer.Option("--list", help="List the names, kinds of shift, and whether the data are here.")
    ] = False,
    data_home: Annotated[
        Path | None, typer.Option(help="Folder with the data; default as for shiftfix.datasets.load.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch data that are not here.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="First seed.")] = 0,
    repeats: Annotated[
        int | None, typer.Option(min=1, max=2**31 - 1, help="Number of seeds; default 5, for fashion_mnist 3.")
    ] = None,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Run demos, or list them."""
    with exit_codes(debug):
        from rich.console import Console

        from shiftfix.cli._demo import demo_names, list_demos, run_demo

        console = Console()
        if list_names:
            console.print(list_demos(data_home))
            return
        for chosen in demo_names(name):
            with console.status(f"{chosen} ...") if console.is_terminal else nullcontext():
                result = run_demo(chosen, data_home=data_home, download=download, seed=seed, repeats=repeats)
            console.print(result)
