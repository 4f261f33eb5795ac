"""`stakan prove`: see promises kept."""

from typing import Annotated

import typer
from rich.markup import escape

from stakan.apps.cli.output import EXIT_FAILED, out, reports_errors, write_json
from stakan.apps.prove import Observation, claim_of, demonstrations, prove


@reports_errors
def prove_command(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Which: {', '.join(demonstrations())}; all of them by default.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="All observations as JSON on stdout.")] = False,
) -> None:
    """Demonstrate safeguards, step by step, with the code that runs in a bot; no keys, nothing leaves this machine.

    Exit code 1 where a claim does not hold.
    """
    wanted = names or demonstrations()
    # Names before anything runs.
    claims = {name: claim_of(name) for name in wanted}
    proofs = []
    for name, claim in claims.items():
        if as_json:
            proofs.append(prove(name))
            continue
        out().print(f"\n[bold]{name}[/]  {escape(claim)}", highlight=False)
        proofs.append(prove(name, _show))
    holds = all(proof.holds for proof in proofs)
    if as_json:
        write_json({"holds": holds, "proofs": proofs})
    else:
        verdicts = [f"{proof.name} {'[green]holds[/]' if proof.holds else '[bold red]fails[/]'}" for proof in proofs]
        out().print(f"\n{', '.join(verdicts)}", highlight=False)
    if not holds:
        raise typer.Exit(EXIT_FAILED)


def _show(one: Observation) -> None:
    mark = {None: " ", True: "[green]✓[/]", False: "[bold red]✗[/]"}[one.holds]
    found = f": [cyan]{escape(one.found)}[/]" if one.found else ""
    out().print(f"{one.at_s:7.2f} s {mark} {escape(one.what)}{found}", highlight=False, soft_wrap=True)
