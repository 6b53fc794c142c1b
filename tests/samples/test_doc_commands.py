"""The commands and the anchors in the documentation: programs exist and take the options that are written there."""

from __future__ import annotations

import ast
import functools
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from informer.cli.commands import app
from tests.samples.test_docs import ROOT

PAGES = [
    *("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md", "benchmarks/README.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
]
FENCES = re.compile(r"^```(.*?)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The languages of blocks of commands. Others are programs and configuration.
SHELL = ("", "sh")
SPANS = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# Programs of this project, as they are named in a command.
PROGRAMS = re.compile(r"(?:samples|benchmarks|tools|\.ci)/[\w./-]+\.py")


class Command(NamedTuple):
    """A command as written in the documentation.

    Attributes:
        page: where it is.
        tokens: its tokens, without the shell's operators and comments.
        is_whole: whether it is in a block of commands; in a sentence, only its name may be given.
    """

    page: str
    tokens: list[str]
    is_whole: bool


def split(line: str) -> Iterator[list[str]]:
    """Yields the tokens of each simple command of a line of shell; nothing for text that a shell could not read."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.commenters = "#"
    lexer.whitespace_split = True
    try:
        tokens = list(lexer)
    except ValueError:
        return
    command: list[str] = []
    for word in [*tokens, ";"]:
        if set(word) <= set("();<>|&"):
            if command:
                yield command
            command = []
        else:
            command.append(word)


@functools.cache
def commands() -> list[Command]:
    """Returns all commands of the documentation."""
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        whole = [
            line
            for language, block in FENCES.findall(text)
            if language in SHELL
            for line in block.replace("\\\n", " ").splitlines()
        ]
        spans = SPANS.findall(FENCES.sub("", text))
        for is_whole, lines in ((True, whole), (False, spans)):
            found += [Command(page, tokens, is_whole) for line in lines for tokens in split(line)]
    return found


def arguments_of_informer(tokens: list[str]) -> list[str] | None:
    """Returns the arguments of the program `informer`; None if a command is another one."""
    while tokens and re.fullmatch(r"[A-Z_]+=.*", tokens[0]):
        tokens = tokens[1:]
    if len(tokens) > 3 and tokens[0].rpartition("/")[2].startswith("python") and tokens[1:3] == ["-m", "informer"]:
        return tokens[3:]
    return tokens[1:] if len(tokens) > 1 and tokens[0].rpartition("/")[2] == "informer" else None


def problem_of(arguments: list[str], *, is_whole: bool) -> str:
    """Returns what the command line says against arguments, without running anything; "" for nothing."""
    group: Any = typer.main.get_command(app)
    name = arguments[0]
    if name.startswith("-"):
        known = [option for parameter in group.params for option in parameter.opts]
        return "" if name in [*known, "-h", "--help"] else f"no option {name}"
    if name not in group.commands:
        return f"no command {name}"
    try:
        group.commands[name].make_context(name, arguments[1:])
    except Exception as error:
        if type(error).__name__ == "MissingParameter" and not is_whole:
            return ""
        return "" if type(error).__name__ == "Exit" else str(error) or repr(error)
    return ""


def test_each_command_of_informer_is_one_that_it_has() -> None:
    """Its sub-command, options and values are accepted."""
    checked, problems = 0, []
    for page, tokens, is_whole in commands():
        arguments = arguments_of_informer(tokens)
        # "informer <name>: ..." is what a program prints.
        if arguments and re.fullmatch(r"-{0,2}[a-z-]+", arguments[0]):
            checked += 1
            problem = problem_of(arguments, is_whole=is_whole)
            problems += [f"{page}: {' '.join(tokens)}: {problem}"] if problem else []
    assert problems == []
    assert checked > 20


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["watch", "pods", "-A"], ""),
        (["watch"], "Missing"),
        (["wtch", "pods"], "no command wtch"),
        (["watch", "pods", "--feilds", "a"], "--feilds"),
        (["serve", "--pods", "many"], "valid integer"),
        (["--no-such"], "no option --no-such"),
    ],
)
def test_a_wrong_command_is_found(arguments: list[str], problem: str) -> None:
    """Otherwise the test above would find nothing."""
    found = problem_of(arguments, is_whole=True)
    assert problem in found
    assert bool(found) == bool(problem)


def declared_options(program: Path) -> set[str]:
    """Returns the options that a program, or a module beside it that it imports, declares."""
    tree = ast.parse(program.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    options = {
        argument.value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    for module in modules:
        beside = program.parent / f"{module}.py"
        if module.startswith("_") and beside.exists():
            options |= declared_options(beside)
    return options


def test_each_program_exists_and_has_its_options() -> None:
    """A sample, benchmark or tool that a command names is a file, and declares the options."""
    checked, problems = 0, []
    for page, tokens, _ in commands():
        for at, word in enumerate(tokens):
            if not PROGRAMS.fullmatch(word):
                continue
            checked += 1
            if not (ROOT / word).is_file():
                problems.append(f"{page}: {word} does not exist")
                continue
            options = {each.partition("=")[0] for each in tokens[at + 1 :] if re.match("-{1,2}[a-zA-Z]", each)}
            missing = options - declared_options(ROOT / word)
            problems += [f"{page}: {word} has no option {option}" for option in sorted(missing)]
    assert problems == []
    assert checked > 50


def test_each_file_of_a_command_exists() -> None:
    """A manifest, a folder of tests or a data file that a command or sentence names is there."""
    files = re.compile(r"(?:samples|benchmarks|tests|\.ci)/[\w./-]*\w/?")
    named = {(page, word) for page, tokens, _ in commands() for word in tokens if files.fullmatch(word)}
    assert len(named) > 50
    assert sorted(each for each in named if not (ROOT / each[1]).exists()) == []


def test_blocks_of_shell_can_be_parsed() -> None:
    """By bash, which runs none of them."""
    blocks = [
        block
        for page in PAGES
        for language, block in FENCES.findall((ROOT / page).read_text(encoding="utf-8"))
        if language == "sh"
    ]
    assert len(blocks) > 2
    done = subprocess.run(["bash", "-n", "-c", "\n".join(blocks)], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")


def anchors_of(page: Path) -> set[str]:
    """Returns the anchors that GitHub and the documentation site give to the headings of a page."""
    text = FENCES.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").strip().lower() for title in titles]
    slugs = [re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain]
    return {
        slug if slugs[:at].count(slug) == 0 else f"{slug}-{slugs[:at].count(slug)}" for at, slug in enumerate(slugs)
    }


def test_anchors_of_links_exist() -> None:
    """A link to a heading, on the same page, beside it, or by the address on GitHub, leads to one that is there."""
    web = re.compile(r"\]\(https://github\.com/kube-informer/kube-informer/blob/main/([^)#\s]+\.md)#([^)\s]+)\)")
    beside = re.compile(r"\]\(([^)#\s:]*\.md)?#([^)\s]+)\)")
    problems = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        links = [(ROOT / file, anchor) for file, anchor in web.findall(text)]
        links += [
            ((ROOT / page).parent / file if file else ROOT / page, anchor) for file, anchor in beside.findall(text)
        ]
        problems += [
            f"{page}: {file.name}#{anchor}"
            for file, anchor in links
            if not file.is_file() or anchor not in anchors_of(file)
        ]
    assert problems == []


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    """Punctuation goes, spaces become hyphens, and a second heading of the same text has a number."""
    page = tmp_path / "page.md"
    page.write_text("# Why not `watch.Watch`?\n\n```\n# a comment\n```\n\n## One, two\n\n## One, two\n")
    assert anchors_of(page) == {"why-not-watchwatch", "one-two", "one-two-1"}
