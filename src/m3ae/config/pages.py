"""The report's pages: their names, which the workflow declares and every page links to."""

from typing import NamedTuple


class Page(NamedTuple):
    """One page of a report, ``reports/{run}/{name}.html``."""

    name: str
    title: str
    """As the list of pages shows it."""
    group: str
    """The heading above it in that list."""


PAGES = [
    Page("index", "Overview and ledger", "Report"),
    Page("figure2", "Figure 2: pictures", "The paper's figures"),
    Page("figure3", "Figure 3: captions", "The paper's figures"),
    Page("figure4", "Figure 4: scale", "The paper's figures"),
    Page("figure5", "Figure 5: hidden words", "The paper's figures"),
    Page("figure6", "Figure 6: detection", "The paper's figures"),
    Page("figure7", "Figure 7: word to patch", "The paper's figures"),
    Page("figure8", "Figure 8: patch to word", "The paper's figures"),
    Page("figure9", "Figure 9: classes", "The paper's figures"),
    Page("probes", "Probes", "Beyond the paper"),
    Page("augmented", "Augmented heads", "Beyond the paper"),
    Page("detection", "Detection", "Beyond the paper"),
    Page("shift", "Shift", "Beyond the paper"),
    Page("robustness", "Attacks", "Beyond the paper"),
    Page("captions", "Text side", "Beyond the paper"),
    Page("curves", "Training curves", "How it was made"),
    Page("data", "Data", "How it was made"),
    Page("compute", "Compute", "How it was made"),
    Page("provenance", "Provenance", "How it was made"),
]
PAGE_NAMES = [page.name for page in PAGES]
