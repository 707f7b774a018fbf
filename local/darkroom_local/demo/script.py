"""The two jobs of the demo. Their prompts and numbers suit the small base model on a laptop."""

MODEL_ID = "demo-star"

MOTION = {"motion_bucket_id": 25}
"""Little motion: with more of it the small video model's last frames dissolve."""

TRAIN = {
    "prompt": "a photo of sks star",
    "model_id": MODEL_ID,
    "max_steps": 300,
    "layers": "All",
    "train_text_encoders": True,
    "rank": 16,
    "batch_size": 5,
    "learning_rate": 1.5e-3,
    "learning_rate_schedule": "cosine",
    "class_prompt": "a photo of a shape",
    "class_images": 60,
}

GENERATE = {
    "prompt": "a photo of sks star, olive background",
    "model_id": MODEL_ID,
    "allow_motion": True,
    "guidance_scale": 2.0,
    **MOTION,
}
