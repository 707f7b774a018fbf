"""Settings of the U-Net cache."""

from enum import StrEnum

from pydantic import Field

from darkroom_contract.schema import Schema


class CacheProfile(StrEnum):
    """How much is reused. Not `Off`: YAML 1.1 reads that as a boolean."""

    DISABLED = "Disabled"
    QUALITY = "Quality"
    BALANCED = "Balanced"
    FAST = "Fast"

    @property
    def interval(self) -> int:
        """Steps between two runs of the whole U-Net, of the policies that have a fixed one."""
        return {CacheProfile.DISABLED: 1, CacheProfile.QUALITY: 2, CacheProfile.BALANCED: 3, CacheProfile.FAST: 5}[self]

    @property
    def expected_speedup(self) -> float:
        """How many times as fast as without a cache, roughly, at 25 steps with the adaptive policy."""
        return {
            CacheProfile.DISABLED: 1.0,
            CacheProfile.QUALITY: 2.5,
            CacheProfile.BALANCED: 4.0,
            CacheProfile.FAST: 5.0,
        }[self]


class CachePolicy(StrEnum):
    """Which steps reuse features, and which features."""

    ADAPTIVE = "Adaptive"
    INTERVAL = "Interval"
    FIRST_BLOCK = "FirstBlock"
    DEEPCACHE = "DeepCache"


class Cache(Schema):
    """Reuse the U-Net's features between denoising steps."""

    profile: CacheProfile = Field(
        CacheProfile.BALANCED,
        description="How much is reused. Disabled: nothing, bit-identical to diffusers. Quality, Balanced, Fast: more "
        "and more; faster, and the image changes more.",
    )
    policy: CachePolicy = Field(
        CachePolicy.ADAPTIVE,
        description="Adaptive predicts features from the last two runs of the whole U-Net, and runs it more often "
        "where predictions are further off than the threshold. Interval runs it at every 2nd, 3rd or 5th step (the "
        "algorithm of DeepCache, arXiv 2312.00858). FirstBlock runs the first block at every step and the others when "
        "its result has changed. DeepCache is the package of that name at the interval of the profile, as a reference.",
    )
    interval: int | None = Field(
        None,
        ge=1,
        le=50,
        description="Steps between two runs of the whole U-Net; overrides the profile and makes Interval the policy "
        "unless it is DeepCache. 1 disables caching.",
    )
    branch: int = Field(
        0,
        ge=0,
        le=8,
        description="Skip branch that is recomputed at every step, for Interval and DeepCache; 0 is fastest. A higher "
        "branch recomputes more and changes the image less. Above 0 it makes Interval the policy unless it is "
        "DeepCache. SDXL has 0 to 8, smaller models fewer.",
    )
    threshold: float | None = Field(
        None,
        ge=0.0,
        le=4.0,
        description="Relative change, for Adaptive and FirstBlock, that overrides the profile's. Adaptive runs the "
        "whole U-Net more often where predicted features are off by more, FirstBlock whenever the first block's "
        "output has changed by more. 0 reuses nothing.",
    )
    reuse_guidance: bool = Field(
        False,
        description="Also predict the difference that guidance makes, in the last quarter of the steps, for Adaptive: "
        "the whole U-Net then runs on one input instead of two. Costs quality.",
    )
    reuse_attention: bool = Field(
        False,
        description="Also reuse the attention to the prompt in the last two fifths of the steps (T-GATE, arXiv "
        "2404.02747), for Adaptive with SDXL. Costs quality.",
    )

    @property
    def effective_interval(self) -> int:
        return self.profile.interval if self.interval is None else self.interval

    @property
    def enabled(self) -> bool:
        """Whether anything is reused."""
        return self.interval != 1 and (self.interval is not None or self.profile is not CacheProfile.DISABLED)

    @property
    def expected_speedup(self) -> float:
        """How many times as fast as without a cache, roughly: for progress estimates."""
        if self.effective_policy in (CachePolicy.ADAPTIVE, CachePolicy.FIRST_BLOCK):
            return self.profile.expected_speedup
        return float(self.effective_interval)

    @property
    def effective_policy(self) -> CachePolicy:
        """An interval, or a branch above 0, makes Interval the policy, unless it is DeepCache."""
        if (self.interval is None and self.branch == 0) or self.policy is CachePolicy.DEEPCACHE:
            return self.policy
        return CachePolicy.INTERVAL
