"""What `make docs` does to pages: links to files outside docs/ become their text, if the file is there.

On a code host such a link leads to the source; the site has none of it.
"""

import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, config: Any, **given: Any) -> str:
    """The page's text with such links taken out.

    Raises:
        FileNotFoundError: a link leads to no file.
    """
    docs, folder = Path(config["docs_dir"]), Path(page.file.abs_src_path).parent

    def rewritten(link: re.Match[str]) -> str:
        text, target = link[1], link[2]
        if re.match(r"[a-z]+:", target):
            return link[0]
        path = (folder / target).resolve()
        if path.is_relative_to(docs):
            return link[0]  # which mkdocs checks
        if not path.exists():
            raise FileNotFoundError(f"{page.file.src_path} links to {target}, which is not there")
        return text

    return LINK.sub(rewritten, markdown)
