// The device behind the page: every request goes to this origin, with the token where one is asked for.

let token = sessionStorage.getItem("token") || "";
let asking = null;

function askToken() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("token-dialog");
    const form = document.getElementById("token-form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      token = document.getElementById("token").value.trim();
      sessionStorage.setItem("token", token);
      dialog.close();
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

// The response, with the token asked for as often as it takes. Throws an Error in words for any other refusal.
export async function request(path, options = {}) {
  for (;;) {
    const headers = { ...(options.headers || {}) };
    if (token) headers.Authorization = `Bearer ${token}`;
    const response = await fetch(path, { ...options, headers });
    if (response.status === 401) {
      await askToken();
      continue;
    }
    if (!response.ok && response.status !== 304) {
      let words = `${response.status} ${response.statusText}`;
      try {
        words = (await response.json()).error.message;
      } catch { /* the status alone must do */ }
      throw Object.assign(new Error(words), { status: response.status });
    }
    return response;
  }
}

export async function read(path) {
  return (await request(path)).json();
}

export function write(method, path, body) {
  return request(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

// Call `work` again and again, `pause_ms` after it ended, while somebody looks at the page.
export async function repeat(work, pause_ms, failed) {
  for (;;) {
    if (!document.hidden) {
      try {
        await work();
      } catch (error) {
        failed?.(error);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, pause_ms));
  }
}
