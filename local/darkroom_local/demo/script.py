"""What the demo asks for: the one place of its prompts and numbers. They suit the small base model and a laptop."""

MODEL_ID = "demo-star"

TRAIN = {
    "prompt": "a photo of sks star",
    "model_id": MODEL_ID,
    "max_steps": 200,
    "layers": "All",
    "train_text_encoders": True,
    "rank": 8,
    "learning_rate": 2e-3,
    "class_prompt": "a photo of a star",
    "class_images": 20,
}

GENERATE = {
    "prompt": "a photo of sks star on a teal background",
    "model_id": MODEL_ID,
    "allow_motion": True,
}
