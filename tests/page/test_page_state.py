"""What the page keeps of the gateway's answers, run in a browser with answers of the test."""

import pytest
from playwright.sync_api import Page
from support.page_modules import call

_JOB = """const job = (id, status, more) => ({ id, kind: "GenerateJob", status, prompt: "a dog", priority: 0,
  queue: null, artifacts: [], created: "2026-11-29T12:00:00Z", completed: null, spec: {}, ...more });
const answer = (body, status = 200) => new Response(JSON.stringify(body), { status });"""


def run(modules: Page, module: str, code: str) -> object:
    """Run statements with the exports of a module as `m`, and makers of jobs and answers."""
    return call(modules, module, f"(async () => {{ {_JOB} {code} }})()")


def test_answer_that_is_older_than_an_event_changes_nothing(modules: Page) -> None:
    code = """
      let reply;
      fetch = () => new Promise((resolve) => { reply = resolve; });
      const loading = m.loadJob("a");
      m.handleEvent("job", job("a", "Running"));
      reply(answer(job("a", "Queued")));
      await loading;
      const kept = m.jobs.peek().get("a").status;
      fetch = async () => answer(job("a", "Succeeded"));
      await m.loadJob("a");
      return [kept, m.jobs.peek().get("a").status];"""
    assert run(modules, "jobs.js", code) == ["Running", "Succeeded"]


def test_two_lists_at_once_keep_what_changed_meanwhile(modules: Page) -> None:
    code = """
      const replies = [];
      fetch = () => new Promise((resolve) => replies.push(resolve));
      const loading = [m.loadUnfinished(), m.loadUnfinished()];
      m.handleEvent("job", job("b", "Running"));
      for (const reply of replies) {
        reply(answer({ jobs: [job("b", "Queued")], total: 1, next_cursor: null }));
        await new Promise((done) => setTimeout(done));
      }
      await Promise.all(loading);
      return m.jobs.peek().get("b").status;"""
    assert run(modules, "jobs.js", code) == "Running"


def test_double_click_on_try_again_makes_one_job(modules: Page) -> None:
    code = """
      let requests = 0;
      fetch = async () => answer(job(`again-${++requests}`, "Queued"), 202);
      const made = await Promise.all([m.retryJob("c"), m.retryJob("c")]);
      return [requests, ...made.map(({ id }) => id)];"""
    assert run(modules, "jobs.js", code) == [1, "again-1", "again-1"]


def test_list_whose_next_page_fails_waits_for_the_button(modules: Page) -> None:
    code = """
      const { html, render } = await import("/js/ui.js");
      const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      let requests = 0;
      fetch = async () => (++requests === 1 ? answer({ jobs: [], total: 2, next_cursor: "next" }) : answer({}, 500));
      const List = () => html`<${m.More} pages=${m.usePages({})} />`;
      render(html`<${List} />`, document.body);
      while (!document.querySelector("[role=alert]")) await drawn();
      for (let frame = 0; frame < 10; frame += 1) await drawn();
      const button = document.querySelector("button").textContent;
      render(null, document.body);
      return [requests, button];"""
    assert run(modules, "views/gallery.js", code) == [2, "Try again"]


def test_live_data_of_a_finished_job_is_dropped_when_nobody_watches(modules: Page) -> None:
    code = """
      fetch = () => new Promise(() => {});
      const { addProgress, follow, liveOf } = await import("/js/live.js");
      const preview = { seed: 1, step: 2, jpeg: "" };
      const progress = { stage: "Training", step: 3, metrics: { loss: 0.5 }, preview };
      const sizes = () => ["seen", "unseen"].map((id) => [liveOf(id).value.loss.size, liveOf(id).value.previews.size]);
      const leave = follow("seen");
      for (const id of ["seen", "unseen"]) addProgress(id, progress);
      const before = sizes();
      for (const id of ["seen", "unseen"]) m.handleEvent("job", job(id, "Succeeded"));
      for (const id of ["seen", "unseen"]) addProgress(id, progress);
      const after = sizes();
      leave();
      return [before, after, sizes()];"""
    assert run(modules, "jobs.js", code) == [[[1, 1], [1, 1]], [[1, 0], [0, 0]], [[0, 0], [0, 0]]]


def test_finished_pictures_of_a_running_job_stand_beside_the_previews_of_the_others(modules: Page) -> None:
    code = """
      const { html, render } = await import("/js/ui.js");
      const { addProgress } = await import("/js/live.js");
      addProgress("drawn", { stage: "Denoising", preview: { seed: 8, step: 2, jpeg: "" } });
      const image = (seed) => ({ name: `${seed}.png`, role: "image", seed, url: `about:blank#${seed}`, sha256: "0" });
      const made = (status, ...seeds) => job("drawn", status, {
        spec: { images: { count: 3, seed: 7 } }, artifacts: seeds.map(image) });
      const shown = (job) => {
        render(html`<${m.Pictures} job=${job} />`, document.body);
        const found = [...document.querySelectorAll(".picture")];
        return found.map((each) => each.ariaLabel ?? each.querySelector("img").alt);
      };
      const all = [shown(made("Running", 7)), shown(made("Running", 7, 9)), shown(made("Succeeded", 7, 8, 9))];
      render(null, document.body);
      return all;"""
    opened = [f"Open the picture with seed {seed}" for seed in (7, 8, 9)]
    preview = "Preview after 2 of 30 steps"
    assert run(modules, "components/pictures.js", code) == [
        [opened[0], preview, "Picture with seed 9, not begun"],
        [opened[0], opened[2], preview],
        opened,
    ]


def test_page_that_stays_open_keeps_a_limited_number_of_finished_jobs(modules: Page) -> None:
    code = """
      for (let number = 0; number < 2100; number += 1) m.putAnswers([job(`many-${number}`, "Succeeded")], m.now());
      const kept = m.jobs.peek();
      return [kept.size, kept.has("many-0"), kept.has("many-2099")];"""
    assert run(modules, "jobs.js", code) == [2000, False, True]


def test_answer_to_a_request_with_a_forgotten_key_is_not_shown(modules: Page) -> None:
    code = """
      const began = m.now();
      m.forgetJobs();
      m.putAnswers([job("late", "Succeeded")], began);
      m.putAnswers([job("new", "Succeeded")], m.now());
      return [m.jobs.peek().has("late"), m.jobs.peek().has("new")];"""
    assert run(modules, "jobs.js", code) == [False, True]


def test_log_is_read_again_when_its_stream_ends_before_the_run(modules: Page) -> None:
    code = """
      const { handleEvent } = await import("/js/jobs.js");
      handleEvent("job", job("log", "Running"));
      const answers = ["one\\n", "one\\ntwo\\n"];
      fetch = async () => {
        if (answers.length === 1) handleEvent("job", job("log", "Succeeded"));
        return new Response(answers.shift());
      };
      let text = "";
      await m.followLog("log", new AbortController().signal, () => text.length, (part) => { text += part; });
      return text;"""
    assert run(modules, "components/log.js", code) == "one\ntwo\n"


_STREAM = """
  const seen = [];
  const listener = { final: new Set([401]), onOpen: () => seen.push("open"), onLost: () => seen.push("lost"),
    onEvent: () => true };
  const stream = new m.Stream("v1/events", listener);
  fetch = async () => replies.shift();
  stream.start();
  while (replies.length > 0 || stream.isRunning) await new Promise((done) => setTimeout(done, 20));
  return [stream.isOver, ...seen];"""


def test_stream_that_a_proxy_ends_is_not_reported_as_lost(modules: Page) -> None:
    code = f'const replies = [new Response(""), new Response("data: 1\\n\\n")]; {_STREAM}'
    assert run(modules, "stream.js", code) == [True, "open", "open"]


def test_stream_of_all_jobs_continues_after_a_proxy_answers_404(modules: Page) -> None:
    code = f"const replies = [answer({{}}, 404), answer({{}}, 404), new Response('data: 1\\n\\n')]; {_STREAM}"
    assert run(modules, "stream.js", code) == [True, "lost", "open"]


def test_entering_the_same_key_again_counts(modules: Page) -> None:
    code = 'm.setKey("key"); const before = m.keyEntries.peek(); m.setKey("key"); return m.keyEntries.peek() - before;'
    assert run(modules, "key.js", code) == 1


def test_action_of_a_closed_question_does_not_close_the_next_one(modules: Page) -> None:
    code = """
      const { html, render } = await import("/js/ui.js");
      const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      let finish;
      render(html`<${m.ConfirmDialog} />`, document.body);
      m.confirm({ title: "First", text: "", yes: "Yes", act: () => new Promise((done) => { finish = done; }) });
      await drawn();
      document.querySelector(".primary").click();
      document.querySelector("dialog").close();
      await drawn();
      m.confirm({ title: "Second", text: "", yes: "Yes", act() {} });
      await drawn();
      const isFree = !document.querySelector(".primary").disabled;
      finish();
      await drawn();
      const title = document.querySelector("h2")?.textContent;
      render(null, document.body);
      return [title, isFree];"""
    assert run(modules, "components/dialogs.js", code) == ["Second", True]


@pytest.mark.parametrize(("seconds", "saved"), [(-60, ["http://page.test/new"]), (60, [])])
def test_click_on_an_expired_download_link_reads_another_one(modules: Page, seconds: int, saved: list[str]) -> None:
    code = f"""
      const {{ html, render }} = await import("/js/ui.js");
      const saved = [];
      HTMLAnchorElement.prototype.click = function () {{ saved.push(this.href); }};
      addEventListener("click", (event) => event.preventDefault());
      const file = {{ name: "a.png", url: "/old", expires: new Date(Date.now() + {seconds} * 1000).toISOString() }};
      const fresh = async () => ({{ ...file, url: "/new" }});
      render(html`<${{m.Download}} file=${{file}} fresh=${{fresh}}>It<//>`, document.body);
      document.querySelector("a").dispatchEvent(new MouseEvent("click", {{ bubbles: true, cancelable: true }}));
      await new Promise((done) => setTimeout(done));
      render(null, document.body);
      return saved;"""
    assert run(modules, "components/download.js", code) == saved


_BUTTON = """
  const { html, render } = await import("/js/ui.js");
  const { Problem } = await import("/js/api.js");
  const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  let calls = 0;
  let end;
  const act = () => { calls += 1; return new Promise((done, fail) => { end = { done, fail }; }); };
  render(html`<${m.BusyButton} act=${act}>Try again<//>`, document.body);
  const button = document.querySelector("button");
  const state = async () => { await drawn(); return button.getAttribute("aria-disabled"); };
  const press = () => { button.click(); return state(); };
  const finish = (how, what) => { end[how](what); return state(); };"""


def test_button_is_off_while_its_action_runs(modules: Page) -> None:
    code = f"{_BUTTON} const states = [await press(), await press(), await finish('done')];"
    code += "render(null, document.body); return [states, calls];"
    assert run(modules, "components/busy_button.js", code) == [["true", "true", None], 1]


@pytest.mark.parametrize(("status", "state"), [(422, "true"), (503, None)])
def test_button_stays_off_when_the_gateway_refused_for_good(modules: Page, status: int, state: str | None) -> None:
    code = f"""{_BUTTON} await press(); const found = await finish("fail", new Problem({status}, "Gone."));
      const reason = button.title; render(null, document.body); return [found, reason];"""
    assert run(modules, "components/busy_button.js", code) == [state, "Gone." if state else ""]


def test_loss_card_says_what_happens_before_the_first_step(modules: Page) -> None:
    code = """
      const { html, render } = await import("/js/ui.js");
      const { addProgress } = await import("/js/live.js");
      const training = job("loss", "Running", { kind: "TrainJob", spec: { maxSteps: 9 } });
      addProgress("loss", { stage: "LoadingModel" });
      render(html`<${m.LossCurve} job=${training} />`, document.body);
      const waiting = document.querySelector(".plot-wait").textContent;
      addProgress("loss", { stage: "Training", step: 1, metrics: { loss: 0.5 } });
      while (!document.querySelector("canvas")) await new Promise((done) => setTimeout(done));
      const isWaiting = document.querySelector(".plot-wait") !== null;
      render(null, document.body);
      return [waiting, isWaiting];"""
    waiting, is_waiting = run(modules, "components/loss_curve.js", code)  # type: ignore[misc]
    assert "Loading the model" in waiting
    assert not is_waiting


def test_loss_curve_has_the_colours_of_the_chosen_theme(modules: Page) -> None:
    """Also where transitions are cut short, as for people who want less motion."""
    code = """
      const style = document.createElement("style");
      style.textContent = `* { transition-duration: 0.01ms }
        :root { color-scheme: dark; --accent: light-dark(rgb(1 2 3), rgb(4 5 6)); color: black }`;
      document.head.append(style);
      getComputedStyle(document.body).color;
      const color = m.colorOf(document.body, "--accent");
      style.remove();
      return color;"""
    assert run(modules, "components/loss_curve.js", code) == "rgb(4, 5, 6)"
