"""What Darkroom itself puts into a runner's pod, by name: known to `pods.py`, which writes it, and to
`runner_template.py`, which keeps others from writing it."""

from darkroom_contract import environment, names
from darkroom_operator.pods.runner_pod import LABEL_SLOT

SCRATCH_VOLUME = "scratch"
SCRATCH_DIR = "/scratch"
TERMINATION_LOG = "/dev/termination-log"

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
OWN_ENVIRONMENT = frozenset({environment.RUN, environment.TERMINATION_MESSAGE_PATH, environment.SCRATCH_DIR, "HOME"})
