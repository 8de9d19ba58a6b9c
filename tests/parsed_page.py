"""A page of the report as a reader's tools see it: tags, addresses, ids, headings, visible text."""

from html.parser import HTMLParser
from pathlib import Path

FETCHED = {
    "img": "src",
    "script": "src",
    "link": "href",
    "iframe": "src",
    "source": "srcset",
    "object": "data",
}
"""Tags that make a browser fetch an address, and the attribute that names it."""


class Page(HTMLParser):
    """The page at ``path``."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags, self.ids, self.headings, self.images = [], [], [], []
        self.links, self.fetched, self.attributes = [], [], {}
        self.text, self.within = "", []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.attributes.setdefault(tag, found)
        if tag in ("style", "script"):
            self.within.append(tag)
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.images.append(found)
        if tag == "a":
            self.links.append(found["href"])
        if FETCHED.get(tag) in found:
            self.fetched.append(found[FETCHED[tag]])
        if "id" in found:
            self.ids.append(found["id"])

    def handle_endtag(self, tag):
        if self.within and tag == self.within[-1]:
            self.within.pop()

    def handle_data(self, data):
        if not self.within:
            self.text += data
