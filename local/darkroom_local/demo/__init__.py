"""`darkroom demo`: the main job from the first photo to the video, as a client of the gateway. Called by the CLI."""

from darkroom_local.demo.demo import DemoOptions, run_demo

__all__ = ["DemoOptions", "run_demo"]
