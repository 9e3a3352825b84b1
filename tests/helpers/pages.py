"""The pages for people, and what stands in them as code."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.S | re.M)
SETS = re.compile(r"^\s*(\w+)=(\"[^\"]*\"|'[^']*'|\S*)\s*(#.*)?$")


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page in a language, as they follow each other."""
    return [
        found[2] for found in BLOCK.finditer(PAGES[page].read_text(encoding="utf-8")) if found[1] == language
    ]


def commands(page: str) -> list[list[str]]:
    """Every call of the program on a page, as words after its name; of a loop, one."""
    found = []
    for block in blocks(page, "sh"):
        variables = {}
        for line in block.replace("\\\n", " ").splitlines():
            if assigned := SETS.match(line):
                variables[assigned[1]] = assigned[2].strip("\"'")
            for name, value in variables.items():
                line = re.sub(rf"\${{?{name}}}?\b", value, line)
            for part in re.split(r"\||;|&&|\bdo\b", line):
                words = shlex.split(part, comments=True)
                if "spikeseq" in words[:1]:
                    cut = next((i for i, word in enumerate(words) if word in ("<", ">")), len(words))
                    found.append(words[1:cut])
    return found
