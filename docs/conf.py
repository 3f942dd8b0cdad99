"""Configuration of the site: ``pip install -e '.[docs]' && python -m sphinx -W --keep-going -b html docs docs/_build/html``."""

import os
import re
from pathlib import Path

import fastae

DOCS = Path(__file__).parent
ROOT = DOCS.parent

project = "fastae"
author = "The fastae developers"
copyright = author
version = release = fastae.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {page: [] for page in ("index", "tutorial", "performance", "pages/*")}  # which have no pages below them
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = "fastae"
html_show_sourcelink = False

# The documents are GitHub's Markdown, which is also read where it lies.
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3

# A page for each public name: those in a module's __all__, so that none can be forgotten.
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc has types, and shapes
numpydoc_show_class_members = False  # autodoc shows them
numpydoc_validation_checks = {"GL03", "GL06", "GL07", "GL08", "PR01", "PR02", "PR03", "RT02", "SS02", "SS04"}
numpydoc_validation_overrides = {"PR01": [r"(?s)\A(?!.*Parameters\n)"]}  # a method of a sentence or two says all in these

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "",  # all are run
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": (),
    "download_all_examples": False,
    "write_computation_times": False,
}

# Documents that lie elsewhere, and the pages made of them.
PAGES = {
    "pages/readme.md": "README.md",
    "pages/changelog.md": "CHANGELOG.md",
    "pages/contributing.md": "CONTRIBUTING.md",
    "pages/kernels.md": "fastae/_kernels/README.md",
    "pages/benchmarks.md": "bench/README.md",
    "pages/results.md": "bench/results/README.md",
}


def relinked(text, origin, page):
    """The text of a document for a page in another folder: relative links lead where they led, or to a page made of that."""
    pages = {ROOT / source: DOCS / name for name, source in PAGES.items()}
    pages |= {script: DOCS / "gallery" / f"{script.stem}.rst" for script in (ROOT / "examples").glob("*.py")}
    pages[ROOT / "examples"] = DOCS / "gallery" / "index.rst"

    def link(found):
        path, anchor = found[1], found[2] or ""
        target = (origin.parent / path).resolve()
        target = pages.get(target / "README.md", pages.get(target, target))  # of a folder, what describes it
        return f"]({Path(os.path.relpath(target, page.parent)).as_posix()}{anchor})"

    return re.sub(r"\]\((?!https?:|#)([^)#\s]+)(#[^)]*)?\)", link, text)


def setup(app):
    (DOCS / "pages").mkdir(exist_ok=True)
    for name, source in PAGES.items():
        origin, page = ROOT / source, DOCS / name
        text = relinked(origin.read_text("utf-8"), origin, page)
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")

    def read(app, name, source):
        page = DOCS / f"{name}.md"
        if page.exists():
            source[0] = relinked(source[0], page, page)

    def skip(app, what, name, member, skipped, options):
        """What is inherited from other libraries, as scikit-learn's mixins, has its documentation there."""
        module = getattr(getattr(member, "fget", member), "__module__", None) or "fastae"
        return True if module.split(".")[0] not in ("fastae", "operator") else None

    app.connect("source-read", read)
    app.connect("autodoc-skip-member", skip)
