"""Shells complete commands, options, their values and the names of files; asked of each shell that is installed."""

import os
import shutil
import subprocess
import sys

import pytest

from shiftfix.cli._column_names import header_of

SCRIPTS = {
    "bash": "complete -o default -F _shiftfix_completion shiftfix",
    "zsh": "#compdef shiftfix",
    "fish": "complete --command shiftfix",
}


@pytest.fixture(scope="module")
def shiftfix(tmp_path_factory):
    """A folder with the command in it, and files to complete."""
    folder = tmp_path_factory.mktemp("completion")
    command = folder / "bin" / "shiftfix"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nfrom shiftfix.cli import main\nmain()\n")
    command.chmod(0o755)
    (folder / "my source.csv").write_text("x,y\n")
    (folder / "s.csv").write_text("age;blood pressure;answer;Ärztin\n1,5;2;a;b\n", encoding="utf-8-sig")
    (folder / "t.csv").write_text("age,few\n1,2\n")
    return folder


def ask(folder, arguments, shell_input=None, **variables):
    environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", **variables}
    found = subprocess.run(
        arguments, cwd=folder, env=environment, input=shell_input, capture_output=True, text=True, check=False
    )
    return found.stdout


def bash_words(folder, line):
    """What the command tells bash of a line that ends at the cursor."""
    words = line.split(" ")
    variables = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    return ask(folder, ["shiftfix"], _SHIFTFIX_COMPLETE="complete_bash", **variables).split()


@pytest.mark.slow
@pytest.mark.parametrize("shell", SCRIPTS)
def test_each_shell_gets_its_script(shiftfix, shell):
    assert SCRIPTS[shell] in ask(shiftfix, ["shiftfix"], _SHIFTFIX_COMPLETE=f"source_{shell}")


@pytest.mark.slow
def test_commands_options_and_values_are_completed(shiftfix):
    assert bash_words(shiftfix, "shiftfix d") == ["demo", "diagnose"]
    assert bash_words(shiftfix, "shiftfix correct a b --l") == ["--label", "--learner"]
    assert bash_words(shiftfix, "shiftfix correct a b --shift ") == ["auto", "covariate", "label"]
    # Nothing of ours: the shell offers files.
    assert bash_words(shiftfix, "shiftfix correct my") == []


@pytest.mark.slow
def test_columns_are_those_of_the_file(shiftfix):
    assert bash_words(shiftfix, "shiftfix diagnose s.csv t.csv --label a") == ["age", "answer"]
    assert bash_words(shiftfix, "shiftfix correct s.csv t.csv --drop Ä") == ["Ärztin"]
    assert bash_words(shiftfix, "shiftfix correct s.csv t.csv --target-labels f") == ["few"]
    # A name with a blank would be two words.
    assert bash_words(shiftfix, "shiftfix weigh s.csv t.csv --label b") == []


@pytest.mark.parametrize("name", ["absent.csv", "folder.csv", "t.parquet", "bytes.csv"])
def test_a_file_that_cannot_be_read_has_no_columns(tmp_path, name):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "t.parquet").write_text("a,b\n")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    assert header_of(tmp_path / name) == []


BASH = """
source <(_SHIFTFIX_COMPLETE=source_bash shiftfix)
complete -p shiftfix
COMP_WORDS=(shiftfix sch); COMP_CWORD=1; _shiftfix_completion shiftfix; echo "${COMPREPLY[@]}"
COMP_WORDS=(shiftfix predict my); COMP_CWORD=2; _shiftfix_completion shiftfix; echo "files: ${#COMPREPLY[@]}"
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_and_falls_back_to_files(shiftfix):
    lines = ask(shiftfix, ["bash", "--norc"], BASH).splitlines()
    assert lines == ["complete -o default -F _shiftfix_completion shiftfix", "schema", "files: 0"]


FISH = """
env _SHIFTFIX_COMPLETE=source_fish shiftfix | source
complete -C 'shiftfix sch'
echo ==
complete -C 'shiftfix predict my'
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_and_falls_back_to_files(shiftfix, tmp_path):
    commands, files = ask(shiftfix, ["fish", "--no-config"], FISH, HOME=str(tmp_path)).split("==\n")
    assert commands.startswith("schema\t")
    assert "source.csv" in files


ZSH = """
autoload -Uz compinit; compinit -u
compdef() { echo "compdef $@" }
_files() { echo "files" }
_arguments() { echo "$@" }
eval "$(_SHIFTFIX_COMPLETE=source_zsh shiftfix)"
words=(shiftfix sch); CURRENT=2; _shiftfix_completion
words=(shiftfix predict my); CURRENT=3; _shiftfix_completion
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_and_falls_back_to_files(shiftfix, tmp_path):
    lines = ask(shiftfix, ["zsh", "-f"], ZSH, HOME=str(tmp_path), ZDOTDIR=str(tmp_path)).splitlines()
    assert lines[0] == "compdef _shiftfix_completion shiftfix"
    assert "schema" in lines[1]
    assert lines[-1] == "files"
