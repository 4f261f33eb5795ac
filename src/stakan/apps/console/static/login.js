"use strict";
(() => {
  const form = document.getElementById("login");
  const wrong = document.getElementById("wrong");
  const button = form.querySelector("button");
  const enter = () => location.replace("/console/");

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    wrong.textContent = "";
    button.disabled = true;
    const body = JSON.stringify({ user: form.user.value.trim(), password: form.password.value });
    try {
      const answer = await fetch("/auth/login", { method: "POST", headers: { "content-type": "application/json" }, body });
      if (answer.ok) { enter(); return; }
      const problem = await answer.json();
      wrong.textContent = answer.status === 422 ? "User and password are needed." : sentence(problem.detail);
    } catch {
      wrong.textContent = "The console does not answer. Is it still running?";
    }
    button.disabled = false;
    form.password.select();
  });

  const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + ".";
  /* A session whose access token has run out while the page was closed goes on; without one nothing is asked. */
  const known = (() => { try { return localStorage.getItem("stakan.session"); } catch { return null; } })();
  if (known) {
    fetch("/auth/refresh", { method: "POST" }).then((answer) => {
      if (answer.ok) enter();
      else localStorage.removeItem("stakan.session");
    }).catch(() => {});
  }
})();
