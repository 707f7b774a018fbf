"""What the page's files become before they are served."""

import gzip
import re
from pathlib import Path

import pytest

from darkroom_gateway.page.files import PageFiles

INDEX = """<!doctype html><html><head>
<link rel="stylesheet" href="page/css/page.css"><script src="page/js/start.js"></script>
<script type="module" src="page/js/main.js"></script>
</head><body><a href="docs">API</a><a href="page/missing.css">Nothing</a></body></html>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "index.html": INDEX,
        "css/page.css": "p { color: red }\n" * 100,
        "js/start.js": "1",
        "js/main.js": 'import { a } from "./views/list.js";\nexport const later = () => import("./start.js");',
        "js/views/list.js": 'import"../../vendor/library.js";import "./gone.js";import { b } from "../main.js";',
        "vendor/library.js": "export {};",
        "vendor/library.d.ts": "export {};",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_index_refers_to_its_files_below_the_root_path_and_the_version(folder: Path) -> None:
    page = PageFiles(folder)
    text = page.index("/studio").content.decode()

    assert f'href="/studio/page/{page.version}/css/page.css"' in text
    assert f'src="/studio/page/{page.version}/js/start.js"' in text
    assert '<head>\n<base href="/studio/">' in text
    assert 'href="docs"' in text
    assert 'href="page/missing.css"' in text


def test_index_preloads_the_modules_that_are_imported_at_once(folder: Path) -> None:
    page = PageFiles(folder)
    preloaded = re.findall(r'<link rel="modulepreload" href="/page/\w+/([^"]+)">', page.index("").content.decode())

    assert preloaded == ["js/main.js", "js/views/list.js", "vendor/library.js"]


def test_root_path_is_escaped(folder: Path) -> None:
    assert '<base href="/&quot;&gt;/">' in PageFiles(folder).index('/">').content.decode()


@pytest.mark.parametrize("name", ["index.html", "js/start.js"])
def test_every_changed_file_changes_the_version(folder: Path, name: str) -> None:
    before = PageFiles(folder)
    (folder / name).write_text("2")
    after = PageFiles(folder)

    assert before.version != after.version
    assert PageFiles(folder).version == after.version


def test_only_what_compression_shortens_is_compressed(folder: Path) -> None:
    files = PageFiles(folder).files
    style = files["css/page.css"]

    assert style.compressed is not None
    assert gzip.decompress(style.compressed) == style.content
    assert files["js/start.js"].compressed is None


def test_type_declarations_are_not_served(folder: Path) -> None:
    assert [each for each in PageFiles(folder).files if each.startswith("vendor/")] == ["vendor/library.js"]


def test_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no index\.html"):
        PageFiles(tmp_path)
