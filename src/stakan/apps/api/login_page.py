"""`/login`: one plain page, so that nothing of the console is reached before somebody has logged in."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from stakan.apps.api.access import CONSOLE

router = APIRouter()

_STATIC = f"{CONSOLE}/static"
_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>stakan · log in</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="{_STATIC}/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{_STATIC}/base.css">
<link rel="stylesheet" href="{_STATIC}/login.css">
<script src="{_STATIC}/theme.js"></script>
</head>
<body class="login">
<main>
<form id="login" novalidate>
<h1><img src="{_STATIC}/icon.svg" alt="" width="28" height="28"> stakan</h1>
<p class="dim">Log in to watch and steer the bot.</p>
<label for="user">User</label>
<input id="user" name="user" autocomplete="username" autocapitalize="none" spellcheck="false" value="operator" required>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
<p id="wrong" role="alert"></p>
<button type="submit" class="primary">Log in</button>
<p class="hint">The first password was printed when the console was started for the first time.</p>
</form>
</main>
<script src="{_STATIC}/login.js"></script>
</body>
</html>
"""
_POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"


@router.get("/login", include_in_schema=False)
async def login_page() -> HTMLResponse:
    """The form; its script sends it to `/auth/login`."""
    return HTMLResponse(_PAGE, headers={"content-security-policy": _POLICY, "cache-control": "no-store"})
