"""What the gallery shows of the jobs that the page knows."""

import pytest
from playwright.sync_api import Page
from support.page_modules import call

_JOB = """const job = (id, status, created, more) => ({ id, kind: "GenerateJob", status, prompt: "a dog", priority: 0,
    model_id: null, queue: null, created: `2026-11-29T12:00:0${created}Z`, completed: null, spec: {}, attempts: 1,
    artifacts: [{ name: `${id}.png`, role: "image", seed: 1, url: "about:blank", sha256: "0" }], ...more });"""

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
        ({"ids": ["listed"], "next": "more"}, ["finished", "listed", "running"]),
        ({"ids": ["listed"], "next": None}, ["finished", "listed", "running", "old"]),
        ({"ids": [], "next": None}, ["finished", "listed", "running", "old"]),
        ({"ids": [], "next": None, "isLoading": True}, ["running"]),
        ({"ids": [], "next": None, "fault": "The gateway can't be reached."}, ["running"]),
    ],
)
def test_gallery_has_pictures_of_running_jobs_and_of_those_that_finished_meanwhile(
    modules: Page, pages: dict[str, object], shown: list[str]
) -> None:
    """Older ones come with their page."""
    given = {"isLoading": False, "fault": ""} | pages
    assert call(modules, "views/gallery.js", _SHOWN, given) == shown


def test_picture_of_a_running_job_keeps_its_place_when_the_job_ends(modules: Page) -> None:
    code = f"""(async () => {{
      {_JOB}
      const {{ html, render }} = await import("/js/ui.js");
      const {{ handleEvent }} = await import("/js/jobs.js");
      const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      fetch = async () => new Response(JSON.stringify({{ jobs: [], total: 0, next_cursor: null }}));
      render(html`<${{m.GalleryView}} />`, document.body);
      while (document.querySelector("[aria-busy=true]")) await drawn();
      const states = [];
      for (const status of ["Running", "Succeeded"]) {{
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
    assert call(modules, "views/gallery.js", code) == [[True, "More to come", True], [True, "", True]]


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
