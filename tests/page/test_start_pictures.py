"""Pictures of earlier jobs that a generation starts from, run in a browser without a gateway."""

from playwright.sync_api import Page
from support.page_modules import call


def test_only_a_picture_of_a_job_that_has_succeeded_can_be_a_start_picture(modules: Page) -> None:
    """A run refuses the others."""
    code = """(async () => {
      const { html, render } = await import("/js/ui.js");
      const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      const artifact = { name: "7.png", role: "image", seed: 7, url: "about:blank", uri: "s3://darkroom/runs/a/7.png" };
      const offering = [];
      for (const status of ["Running", "Failed", "Succeeded"]) {
        const job = { id: "a", kind: "GenerateJob", status, prompt: "a dog", spec: {}, artifacts: [artifact] };
        m.openLightbox([{ job, artifact, fresh: async () => artifact }], 0);
        render(html`<${m.Lightbox} />`, document.body);
        await drawn();
        if (document.body.textContent.includes("Use as start picture")) offering.push(status);
      }
      render(null, document.body);
      return offering;
    })()"""
    assert call(modules, "components/lightbox.js", code) == ["Succeeded"]


def test_mask_of_another_start_picture_is_forgotten(modules: Page) -> None:
    code = """(async () => {
      const { html, render } = await import("/js/ui.js");
      const { writeDraft } = await import("/js/drafts.js");
      const { EMPTY } = await import("/js/views/generate_form.js");
      const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      fetch = async () => new Response("{}", { status: 404 });
      const chosen = async (name, mask) => {
        writeDraft("generate", { ...EMPTY, start: { job: "a", name, uri: `s3://darkroom/runs/a/${name}` } });
        render(html`<${m.GenerateView} id="" />`, document.body);
        await drawn();
        const input = document.querySelector("[aria-label='Add a mask'][type=file]");
        if (mask) {
          const files = new DataTransfer();
          files.items.add(new File(["x"], mask));
          input.files = files.files;
          input.dispatchEvent(new Event("change", { bubbles: true }));
        }
        for (let frame = 0; frame < 5; frame += 1) await drawn();
        return [...document.querySelectorAll(".chosen .name")].map((each) => each.textContent);
      };
      const all = [await chosen("1.png", "mask.png"), await chosen("2.png"), await chosen("2.png", "mask.png")];
      render(null, document.body); // Another view, from which the next picture is chosen.
      all.push(await chosen("3.png"));
      render(null, document.body);
      writeDraft("generate", EMPTY);
      return all;
    })()"""
    assert call(modules, "views/generate.js", code) == [
        ["1.png", "mask.png"],
        ["2.png"],
        ["2.png", "mask.png"],
        ["3.png"],
    ]
