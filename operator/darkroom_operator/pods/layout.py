"""Names that Darkroom reserves in a runner's pod: `builder.py` uses them, `template.py` rejects them in a template."""

from darkroom_contract import environment, names
from darkroom_contract.handover import HANDOVER_DIR, HANDOVER_VOLUME
from darkroom_operator.pods.runner_pod import LABEL_SLOT

SCRATCH_VOLUME = "scratch"
SCRATCH_DIR = "/scratch"
TERMINATION_LOG = "/dev/termination-log"

OWN_PATHS = frozenset({SCRATCH_DIR, TERMINATION_LOG, HANDOVER_DIR})
"""No volume of a template may be mounted on one of them, nor on a folder above: it would hide them."""
OWN_VOLUMES = frozenset({HANDOVER_VOLUME})
"""A template may define the scratch volume."""

OWN_LABELS = frozenset(
    {
        names.LABEL_JOB_UID,
        names.LABEL_JOB_KIND,
        names.LABEL_JOB_NAME,
        names.LABEL_ATTEMPT,
        LABEL_SLOT,
        names.LABEL_COMPONENT,
        names.LABEL_PART_OF,
        names.LABEL_MANAGED_BY,
    }
)
OWN_ENVIRONMENT = frozenset(
    {
        environment.RUN,
        environment.TERMINATION_MESSAGE_PATH,
        environment.SCRATCH_DIR,
        environment.WARM_SECONDS,
        environment.MAX_RUNS,
        environment.OUTCOME_KEY,
        environment.HANDOVER_DIR,
        "HOME",
    }
)
