"""State folders with journals on disk, for the programs that project them."""

from tests.adapters.sql.journals import PLANS, a_header, a_run

from stakan.adapters.journal.writing import FileJournal
from stakan.apps.live.state_folder import EPOCH_FILE, RUNS
from stakan.apps.recorded_run import JOURNAL_FOLDER

RUN = "20231114-221350-paper"


class Bot:
    """Writes a run step by step, as a bot does."""

    def __init__(self, state, name=RUN, plan=PLANS[1], **changes):
        state.mkdir(exist_ok=True)
        (state / EPOCH_FILE).write_text("epoch")
        self.engine, self.steps, _ = a_run(plan, **changes)
        self.journal = FileJournal(state / RUNS / name / JOURNAL_FOLDER, a_header())
        self.written = 0

    def live(self, count=None):
        """Go on for so many steps, or to the end."""
        last = len(self.steps) if count is None else self.written + count
        for event, step in self.steps[self.written : last]:
            self.journal.event(step.number, event)
            self.journal.append(step)
        self.written = last
        self.journal.flush()

    def end(self):
        self.live()
        self.journal.close()


def a_state(folder, **changes):
    """A state folder with one finished run."""
    state = folder / "state"
    Bot(state, **changes).end()
    return state
