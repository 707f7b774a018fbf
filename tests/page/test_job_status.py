"""What the page says of an unfinished job, and that nothing of it is cut off."""

import pytest
from playwright.sync_api import Page, expect
from support.page_modules import call

_JOB = """const job = (id, status, more) => ({ id, kind: "GenerateJob", status, prompt: "a dog", priority: 0,
    model_id: null, queue: null, created: "2026-11-29T12:00:00Z", completed: null, spec: {}, artifacts: [], ...more });
  const { html, render } = await import("/js/ui.js");
  const { handleEvent } = await import("/js/jobs.js");"""


_NOW_RUNNING = f"""(async () => {{
  {_JOB}
  const progress = {{ stage: "DrawingClassImages", step: 11999, total: 20000, estimated_remaining_seconds: 4800 }};
  handleEvent("job", job("now", "Running", {{ kind: "TrainJob", model_id: "a-rather-long-name", progress }}));
  render(html`<div class="shell">
    <header class="side"><a class="brand">Darkroom</a><${{m.NowRunning}} /></header><main></main>
  </div>`, document.body);
  const [card, left] = [".now", ".now .left"].map((each) => document.querySelector(each).getBoundingClientRect());
  const cut = [...document.querySelectorAll(".now .small, .now .progress-text, .now .left")].filter(
    (each) => getComputedStyle(each).display !== "inline" && each.scrollWidth > each.clientWidth + 1);
  const isInside = left.left >= card.left && left.right <= card.right && card.right <= innerWidth;
  handleEvent("deleted", {{ id: "now" }});
  return [left.width > 20, isInside, cut.length];
}})()"""


@pytest.mark.parametrize("width", [320, 390, 700, 961, 1280])
def test_time_that_is_left_is_never_cut_off(styled: Page, width: int) -> None:
    styled.set_viewport_size({"width": width, "height": 700})
    assert call(styled, "components/now_running.js", _NOW_RUNNING) == [True, True, 0]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("Suspended", "Waits until the training of my-dog is resumed"),
        ("Running", "Next in the queue · starts any moment"),
    ],
)
def test_picture_that_waits_for_a_suspended_training_says_so(modules: Page, status: str, text: str) -> None:
    code = f"""(async () => {{
      {_JOB}
      handleEvent("job", job("training", given[0], {{ kind: "TrainJob", model_id: "my-dog" }}));
      const queue = {{ position: 0, estimated_start: "2026-11-29T12:00:00Z" }};
      const found = m.describe(job("picture", "Queued", {{ model_id: "my-dog@200", queue }}), null, Date.now());
      handleEvent("deleted", {{ id: "training" }});
      return found;
    }})()"""
    assert call(modules, "components/job_status.js", code, status) == [text, ""]


@pytest.mark.parametrize(
    ("position", "seconds", "text"),
    [
        (0, 60, "Next in the queue · starts in about 1\u00a0min"),
        (0, -9, "Next in the queue · starts any moment"),
        (2, 60, "2 ahead in the queue · starts in about 1\u00a0min"),
        (2, -9, "2 ahead in the queue"),
    ],
)
def test_job_with_others_ahead_does_not_start_any_moment(modules: Page, position: int, seconds: int, text: str) -> None:
    code = f"""(async () => {{
      {_JOB}
      const now = Date.now();
      const queue = {{ position: given[0], estimated_start: new Date(now + given[1] * 1000).toISOString() }};
      return m.describe(job("late", "Queued", {{ queue }}), null, now);
    }})()"""
    assert call(modules, "components/job_status.js", code, position, seconds) == [text, ""]


def at(second: int) -> dict[str, str]:
    return {"updated": f"2026-11-30T00:00:{second}Z"}


_BAR = f"""(async () => {{
  {_JOB}
  const shown = [];
  for (const [percent, more] of given[0]) {{
    const progress = {{ stage: "AStageOfALaterRunner", progress_percentage: percent, updated: more.updated }};
    const shownJob = job(given[1], "Running", {{ attempts: 1, progress, ...more }});
    render(html`<${{m.ProgressBar}} job=${{shownJob}} />`, document.body);
    shown.push(Number(document.querySelector("[role=progressbar]").getAttribute("aria-valuenow")));
  }}
  render(null, document.body);
  return shown;
}})()"""


@pytest.mark.parametrize(
    ("name", "reports", "shown"),
    [
        ("back", [[5, {}], [40, {}], [12, {}], [41, {}]], [5, 40, 40, 41]),
        ("strange", [[20, {}], [None, {}], ["much", {}], [-3, {}], [300, {}]], [20, 20, 20, 20, 100]),
        ("again", [[80, {}], [10, {"attempts": 2}]], [80, 10]),
        ("suspended", [[80, {}], [80, {"status": "Suspended"}], [10, {}]], [80, 80, 10]),
        ("replayed", [[20, at(20)], [80, at(10)], [5, at(15)], [21, at(25)]], [20, 20, 20, 21]),
        ("of an earlier run", [[80, at(10)], [5, at(20)], [6, at(30)]], [80, 5, 6]),
    ],
)
def test_bar_moves_back_only_for_another_run(
    modules: Page, name: str, reports: list[list[object]], shown: list[int]
) -> None:
    """A run that continues from a checkpoint has less than the one before."""
    assert call(modules, "components/job_status.js", _BAR, reports, name) == shown


def test_new_run_does_not_begin_with_the_progress_of_the_run_before(modules: Page) -> None:
    code = f"""(async () => {{
      {_JOB}
      const {{ addProgress, liveOf }} = await import("/js/live.js");
      handleEvent("job", job("retried", "Running", {{ attempts: 1 }}));
      addProgress("retried", {{ stage: "Training", progress_percentage: 80, updated: "2026-11-30T00:00:10Z" }});
      handleEvent("job", job("retried", "Starting", {{ attempts: 2 }}));
      return liveOf("retried").value.progress;
    }})()"""
    assert call(modules, "components/job_status.js", code) is None


@pytest.mark.parametrize(("reported", "percent"), [(10, 30), (30, 20)])
def test_newest_progress_is_shown(modules: Page, reported: int, percent: int) -> None:
    """While Redis is lost, only the job has it."""
    code = f"""(async () => {{
      {_JOB}
      const {{ addProgress }} = await import("/js/live.js");
      const progress = {{ stage: "Training", progress_percentage: 30, updated: "2026-11-30T00:00:20Z" }};
      const id = `newest-${{given[0]}}`;
      addProgress(id, {{ stage: "Training", progress_percentage: 20, updated: `2026-11-30T00:00:${{given[0]}}Z` }});
      render(html`<${{m.ProgressBar}} job=${{job(id, "Running", {{ attempts: 1, progress }})}} />`, document.body);
      return Number(document.querySelector("[role=progressbar]").getAttribute("aria-valuenow"));
    }})()"""
    assert call(modules, "components/job_status.js", code, reported) == percent


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("MergingLoras", "Merging LoRAs"),
        ("Cooling", "Cooling"),
        ("constructor", "Constructor"),
        (None, "Working"),
    ],
)
def test_stage_that_the_page_does_not_know_is_put_in_words(modules: Page, stage: str | None, words: str) -> None:
    code = f"""(async () => {{
      {_JOB}
      return m.describe(job("new", "Running"), {{ stage: given[0], step: 2, total: 5 }}, Date.now())[0];
    }})()"""
    assert call(modules, "components/job_status.js", code, stage) == f"{words} · step 2 of 5"


@pytest.mark.parametrize("kind", ["primary", "danger", "danger-text"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_button_keeps_the_colour_of_its_text_under_the_mouse(styled: Page, kind: str, scheme: str) -> None:
    styled.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    code = "m.render(m.html`<button class=${given[0]}>Go</button>`, document.body)"
    styled.mouse.move(600, 600)
    call(styled, "ui.js", code, f"button {kind}")
    button = styled.get_by_role("button")
    color = button.evaluate("button => getComputedStyle(button).color")
    button.hover()
    expect(button).to_have_css("color", color)
