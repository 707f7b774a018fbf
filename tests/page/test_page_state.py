"""What the page keeps of the gateway's answers, run in a browser with answers of the test."""

from playwright.sync_api import Page
from support.page_modules import call

_JOB = """const job = (id, status, more) => ({ id, kind: "GenerateJob", status, prompt: "a dog", priority: 0, queue: null,
  artifacts: [], created: "2026-11-29T12:00:00Z", completed: null, spec: {}, ...more });
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
