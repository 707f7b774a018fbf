"""What the gallery shows of the jobs that the page knows."""

import pytest
from playwright.sync_api import Page
from support.page_modules import call

_JOB = """const job = (id, status, created, more) => ({ id, kind: "GenerateJob", status, prompt: "a dog", priority: 0,
    model_id: null, queue: null, created: `2026-11-29T12:00:0${created}Z`, completed: null, spec: {}, attempts: 1,
    artifacts: [{ name: `${id}.png`, role: "image", seed: 1, url: "about:blank", sha256: "0" }], ...more });"""

_LISTED = "2026-11-29T12:00:03Z"

_SHOWN = f"""(() => {{
  {_JOB}
  const jobs = [job("old", "Succeeded", 1), job("listed", "Succeeded", 3), job("finished", "Succeeded", 4),
    job("failed", "Failed", 5), job("running", "Running", 2), job("waiting", "Queued", 6, {{ artifacts: [] }}),
    job("training", "Running", 7, {{ kind: "TrainJob" }})];
  const all = new Map(jobs.map((each) => [each.id, each]));
  return m.picturesOf(all, given[0], "", "").map(({{ job }}) => job.id);
}})()"""


@pytest.mark.parametrize(
    ("pages", "shown"),
    [
        ({"ids": ["listed"], "oldest": _LISTED, "next": "more"}, ["failed", "finished", "listed", "running"]),
        ({"ids": ["listed"], "oldest": _LISTED, "next": None}, ["failed", "finished", "listed", "running", "old"]),
        ({"ids": [], "next": None}, ["failed", "finished", "listed", "running", "old"]),
        ({"ids": [], "next": None, "isLoading": True}, ["running"]),
        ({"ids": [], "next": None, "fault": "The gateway can't be reached."}, ["running"]),
    ],
)
def test_gallery_has_pictures_of_running_jobs_and_of_those_that_finished_meanwhile(
    modules: Page, pages: dict[str, object], shown: list[str]
) -> None:
    """Older ones come with their page."""
    given = {"oldest": "", "isLoading": False, "fault": ""} | pages
    assert call(modules, "views/gallery.js", _SHOWN, given) == shown


@pytest.mark.parametrize(("status", "chip"), [("Succeeded", ""), ("Failed", "Failed")])
def test_picture_of_a_running_job_keeps_its_place_when_the_job_ends(modules: Page, status: str, chip: str) -> None:
    """Also when it fails: the picture is stored, and the gateway lists it."""
    code = f"""(async () => {{
      {_JOB}
      const {{ html, render }} = await import("/js/ui.js");
      const {{ handleEvent }} = await import("/js/jobs.js");
      const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      fetch = async () => new Response(JSON.stringify({{ jobs: [], total: 0, next_cursor: null }}));
      render(html`<${{m.GalleryView}} />`, document.body);
      while (document.querySelector("[aria-busy=true]")) await drawn();
      const states = [];
      for (const status of ["Running", given[0]]) {{
        handleEvent("job", job("drawn", status, 1));
        await drawn();
        const tile = document.querySelector(".tile");
        states.push([tile.querySelector("img") !== null, tile.querySelector(".chip")?.textContent ?? ""]);
        tile.isSame = states.length === 1 || tile.isSame;
        states[states.length - 1].push(tile.isSame);
      }}
      render(null, document.body);
      return states;
    }})()"""
    assert call(modules, "views/gallery.js", code, status) == [[True, "More to come", True], [True, chip, True]]


_GALLERY = f"""{_JOB}
  const {{ html, render }} = await import("/js/ui.js");
  const {{ handleEvent }} = await import("/js/jobs.js");
  const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const asked = [];
  const show = async (listed) => {{
    IntersectionObserver = class {{ observe() {{}} disconnect() {{}} }};  // The next page stays unread.
    fetch = async (address) => {{
      asked.push(String(address));
      return new Response(JSON.stringify({{ jobs: listed, total: null, next_cursor: "next" }}));
    }};
    render(null, document.body);
    render(html`<${{m.GalleryView}} />`, document.body);
    while (document.querySelector("[aria-busy=true]") || asked.length === 0) await drawn();
  }};
  const named = (id, created) => job(id, "Succeeded", created, {{ prompt: id }});"""


def test_newest_picture_stays_when_the_oldest_one_is_deleted(modules: Page) -> None:
    code = f"""(async () => {{
      {_GALLERY}
      await show([named("middle", 8), named("last", 7)]);
      const shown = async () => {{
        await drawn();
        return [...document.querySelectorAll("img")].map(({{ alt }}) => alt);
      }};
      handleEvent("job", named("new", 9));
      const states = [await shown()];
      for (const id of ["last", "middle"]) {{
        handleEvent("deleted", {{ id }});
        states.push(await shown());
      }}
      handleEvent("deleted", {{ id: "new" }});
      render(null, document.body);
      return states;
    }})()"""
    assert call(modules, "views/gallery.js", code) == [["new", "middle", "last"], ["new", "middle"], ["new"]]


def test_gallery_asks_for_failed_jobs_too_and_is_not_empty_before_its_last_page(modules: Page) -> None:
    """Most failed jobs have no picture."""
    code = f"""(async () => {{
      {_GALLERY}
      await show([job("hopeless", "Failed", 9, {{ artifacts: [] }})]);
      await drawn();
      const found = [new URL(asked[0], location).searchParams.getAll("status"), document.querySelector(".empty")];
      render(null, document.body);
      return found;
    }})()"""
    assert call(modules, "views/gallery.js", code) == [["Succeeded", "Failed"], None]


def test_finished_picture_shows_its_last_preview_until_it_is_loaded(modules: Page) -> None:
    code = f"""(async () => {{
      {_JOB}
      const {{ html, render }} = await import("/js/ui.js");
      const {{ addProgress }} = await import("/js/live.js");
      addProgress("sharp", {{ stage: "Denoising", preview: {{ seed: 1, step: 9, jpeg: "AAAA" }} }});
      const spec = {{ images: {{ count: 2, seed: 1 }} }};
      render(html`<${{m.Pictures}} job=${{job("sharp", "Running", 1, {{ spec }})}} />`, document.body);
      const behind = document.querySelector("button.picture").style.backgroundImage;
      render(null, document.body);
      return behind;
    }})()"""
    assert call(modules, "components/pictures.js", code) == 'url("data:image/jpeg;base64,AAAA")'


@pytest.mark.parametrize(
    ("page", "is_next", "joined"),
    [
        (["d", "c"], False, (["c", "b", "d"], "time b", "after b")),
        (["a"], True, (["c", "b", "a"], "time of page", "after page")),
        (["f", "e"], False, (["f", "e"], "time of page", "after page")),
        ([], False, ([], "", "after page")),
    ],
)
def test_list_that_was_left_is_read_again_from_its_first_page(
    modules: Page, page: list[str], is_next: bool, joined: tuple[list[str], str, str]
) -> None:
    """Also when more has finished meanwhile than a page has: no gap appears."""
    left = {"ids": ["c", "b"], "oldest": "time b", "next": "after b", "isLoading": False, "fault": ""}
    read = {"ids": page, "oldest": "time of page" if page else None, "next": "after page"}
    found = call(modules, "views/gallery.js", "m.joined(given[0], given[1], given[2])", left, read, is_next)
    assert (found["ids"], found["oldest"], found["next"]) == joined
