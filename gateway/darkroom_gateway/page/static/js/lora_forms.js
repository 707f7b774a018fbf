/** What the files of a LoRA are for. Pure. */

/** @type {Record<string, string>} */
const USES = {
  Diffusers: "For diffusers and peft",
  Kohya: "For ComfyUI, A1111, Forge and InvokeAI",
  Imported: "As it was imported",
};

/** The file that diffusers looks for. A training's other file is in Kohya's form. */
const DIFFUSERS_FILE = "pytorch_lora_weights.safetensors";

/** @param {string} form @returns {string} */
export function useOf(form) {
  return USES[form] ?? form;
}

/** What a LoRA file of a training is for, by its name. @param {string} name @returns {string} */
export function useOfFile(name) {
  return useOf(name === DIFFUSERS_FILE ? "Diffusers" : "Kohya");
}
