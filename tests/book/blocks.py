"""The code blocks of a page, as Chromium shows them and copies them."""

from dataclasses import dataclass, field

from tests.book.browser import Clipboard, Site

READ = """() => [...document.querySelectorAll("pre")].map(pre => {
  const box = pre.closest("div[class*='highlight-']");
  return {
    classes: box ? [...box.classList] : [],
    text: pre.textContent,
    label: box?.previousElementSibling?.matches("p.quiet")
      ? box.previousElementSibling.textContent : "",
    prompts: pre.querySelector(".gp") !== null,
    button: pre.parentElement.querySelector("button.copy") !== null,
  };
})"""
PROGRAMS = {"highlight-python"}
DOCTESTS = {"highlight-pycon", "highlight-default", "highlight-python"}


@dataclass(frozen=True)
class Block:
    """One ``<pre>`` of a page.

    Attributes:
        number: Its place on the page, from 1.
        classes: The classes of the box around it.
        text: What is shown.
        when: The builds that an output is for; empty for every build.
        prompts: Whether it shows a prompt of the interpreter.
        copied: What its copy button yields; None if it has no button.
    """

    number: int
    classes: frozenset[str]
    text: str
    when: str
    prompts: bool
    copied: str | None

    @property
    def kind(self) -> str:
        """Program, doctest, shell, output or text; unknown if none of them."""
        if self.prompts and self.classes & DOCTESTS:
            return "doctest"
        if self.classes & PROGRAMS:
            return "program"
        if "highlight-console" in self.classes:
            return "shell"
        if "highlight-text" in self.classes:
            return "output" if "output" in self.classes else "text"
        return "unknown"


@dataclass
class Program:
    """A program and the outputs that are shown beneath it."""

    block: Block
    outputs: list[Block] = field(default_factory=list)


def blocks(site: Site, address: str, on: str = "http") -> list[Block]:
    """Return the blocks of a page, each copied with its own button."""
    with site.page(address, on=on) as page:
        clipboard = Clipboard(page.context)
        found = []
        for number, seen in enumerate(page.evaluate(READ)):
            button = (
                page.locator("pre")
                .nth(number)
                .locator("xpath=../button[contains(@class, 'copy')]")
            )
            copied = (
                clipboard.after(page, button.click) if seen["button"] else None
            )
            found.append(
                Block(
                    number + 1,
                    frozenset(seen["classes"]),
                    seen["text"],
                    builds(seen["label"]),
                    seen["prompts"],
                    copied,
                )
            )
        return found


def builds(label: str) -> str:
    """Return the builds that the label above an output names."""
    words = label.strip().removesuffix(":")
    return (
        words.removeprefix("On ")
        if words[:3] == "On "
        else words[:1].lower() + words[1:]
    )


def programs(found: list[Block]) -> list[Program]:
    """Return the programs of a page, each with its outputs."""
    paired: list[Program] = []
    open_program: Program | None = None
    for block in found:
        match block.kind:
            case "program":
                open_program = Program(block)
                paired.append(open_program)
            case "output":
                if open_program is None:
                    raise ValueError(
                        f"block {block.number} is nobody's output"
                    )
                open_program.outputs.append(block)
            case _:
                open_program = None
    return paired
