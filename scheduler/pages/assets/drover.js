// Not needed to read or to act: it keeps what is shown fresh, and what was typed.
(() => {
	"use strict";
	const $$ = (what, within = document) => [...within.querySelectorAll(what)];
	const main = document.getElementById("main");
	const lost = document.getElementById("lost");
	// By what the connection is seen to be lost; the page says so as long as there is anything.
	const gone = new Set();
	const lose = (what) => { gone.add(what); lost.hidden = false; };
	const find = (what) => { gone.delete(what); lost.hidden = gone.size === 0; };

	// The stream names topics (*: all); a live part says by data-on which it shows, and by data-live where it is drawn anew.
	const parts = new Map();
	const concerns = (on, topic) => topic === "*" || on === topic || on.startsWith(topic + "/") || topic.startsWith(on + "/");
	async function refresh(part) {
		const state = parts.get(part) || {};
		parts.set(part, state);
		if (state.busy) { state.again = true; return; }
		state.busy = true;
		try {
			const answer = await fetch(part.dataset.live, { headers: { accept: "text/html" }, cache: "no-store" });
			// Somebody else is signed in by now, or nobody: the whole page has to say so.
			if (answer.redirected || answer.status === 401 || answer.status === 403) { location.reload(); return; }
			if (answer.ok) { replace(part, await answer.text()); }
			state.failed = answer.status < 500 ? 0 : (state.failed || 0) + 1;
		} catch { state.failed = (state.failed || 0) + 1; }
		if (state.failed) { lose(part); state.again = true; } else { find(part); }
		// What failed is tried again, ever more seldom.
		setTimeout(() => {
			state.busy = false;
			if (state.again) { state.again = false; refresh(part); }
		}, state.failed ? Math.min(30000, 500 * 2 ** state.failed) : 500);
	}
	function replace(part, html) {
		const at = document.activeElement;
		const typing = part.contains(at) && at.matches("input, select, textarea");
		if (typing || html === part.dataset.was) { return; }
		part.dataset.was = html;
		const open = new Set($$("details[open][id]", part).map((d) => d.id));
		const href = at.getAttribute("href");
		const back = part.contains(at) && (at.id ? "#" + CSS.escape(at.id) : href && `[href="${CSS.escape(href)}"]`);
		part.innerHTML = html;
		for (const details of $$("details[id]", part)) { if (open.has(details.id)) { details.open = true; } }
		if (back) { part.querySelector(back)?.focus({ preventScroll: true }); }
	}
	const all = () => $$("[data-live]").forEach(refresh);
	let stream;
	let broken = false;
	let heard;
	function hangUp() { stream?.close(); stream = undefined; broken = true; }
	function listen() {
		const from = main?.dataset.stream;
		if (!from || stream) { return; }
		stream = new EventSource(from + (from.includes("?") ? "&" : "?") + "since=" + main.dataset.since);
		const hear = () => { heard = Date.now(); };
		hear();
		stream.addEventListener("beat", hear);
		stream.onopen = () => {
			hear();
			find("stream");
			// What happened while nobody listened was not told.
			if (broken) { broken = false; all(); }
		};
		stream.onmessage = (message) => {
			hear();
			const topics = message.data.split(/\s+/);
			for (const part of $$("[data-live]")) {
				if (topics.some((topic) => concerns(part.dataset.on || "", topic))) { refresh(part); }
			}
		};
		stream.onerror = () => {
			broken = true;
			lose("stream");
			// A browser tries again by itself, but not after a refusal.
			if (stream?.readyState === EventSource.CLOSED) { stream = undefined; setTimeout(listen, 5000); }
		};
	}
	document.addEventListener("visibilitychange", () => {
		if (document.hidden) { hangUp(); } else { listen(); }
	});
	addEventListener("offline", () => lose("offline"));
	addEventListener("online", () => { find("offline"); hangUp(); listen(); all(); });
	listen();

	// Distances from now go on, by the server's clock and as the server says them.
	const lang = document.documentElement.lang;
	const far = new Intl.RelativeTimeFormat(lang);
	const ahead = Date.now() - Date.parse($$("footer.end time")[0]?.dateTime);
	const count = (n, unit) => new Intl.NumberFormat(lang, { style: "unit", unit, unitDisplay: "long" }).format(n);
	function away(ms) {
		const s = Math.floor(Math.abs(ms) / 1000);
		if (s < 5) { return main.dataset.now; }
		const [m, h] = [Math.floor(s / 60), Math.floor(s / 3600)];
		const said = (n, unit, rest, lesser) => {
			const text = far.format(ms < 0 ? -n : n, unit);
			return rest ? text.replace(count(n, unit), (great) => great + " " + count(rest, lesser)) : text;
		};
		if (s < 60) { return said(s, "second"); }
		if (s < 5400) { return said(m, "minute", s < 600 && s % 60, "second"); }
		return s < 172800 ? said(h, "hour", s < 36000 && m % 60, "minute") : said(Math.floor(h / 24), "day");
	}
	setInterval(() => {
		// Three beats of silence: a cable that was pulled closes nothing.
		if (stream && Date.now() - heard > 30000) { lose("stream"); hangUp(); listen(); }
		if (document.hidden || isNaN(ahead)) { return; }
		for (const time of $$("time[data-away]")) {
			const text = away(Date.parse(time.dateTime) - Date.now() + ahead);
			if (time.textContent !== text) { time.textContent = text; }
		}
	}, 1000);

	// What was typed outlives a session that ends in the middle of a form.
	const name = (form) => "typed:" + new URL(form.action, location).pathname;
	const kept = (form) => $$("input:not([type=password], [type=hidden]), select, textarea", form);
	const ticks = (field) => field.type === "radio" || field.type === "checkbox";
	if ($$(".note.good").length) { Object.keys(sessionStorage).filter((key) => key.startsWith("typed:")).forEach((key) => sessionStorage.removeItem(key)); }
	for (const form of $$("form[data-keep]")) {
		const was = JSON.parse(sessionStorage.getItem(name(form)) || "null");
		if (was && Date.now() - was.at < 3600000 && !form.querySelector(".error")) {
			for (const field of kept(form)) {
				const values = was.values[field.name];
				if (values && ticks(field)) { field.checked = values.includes(field.value); } else if (values) { field.value = values[0]; }
			}
		}
		form.addEventListener("input", () => {
			const values = {};
			for (const field of kept(form)) {
				const list = (values[field.name] ||= []);
				if (!ticks(field) || field.checked) { list.push(field.value); }
			}
			sessionStorage.setItem(name(form), JSON.stringify({ at: Date.now(), values }));
		});
	}

	// A second click does not do it twice.
	document.addEventListener("submit", (event) => {
		const button = event.submitter;
		if (!button || event.target.method !== "post") { return; }
		for (const [after, state] of [[0, true], [8000, false]]) { setTimeout(() => { button.disabled = state; }, after); }
	});
	addEventListener("pageshow", () => $$("button[disabled]").forEach((button) => { button.disabled = false; }));

	// What is on a host, while one points at its tile.
	const tips = new Map();
	let pointed;
	const tip = document.getElementById("tip");
	async function tell(tile) {
		pointed = tile;
		await new Promise((done) => setTimeout(done, 150));
		if (pointed !== tile) { return; }
		const from = main.dataset.tips + tile.getAttribute("href").split("/").pop();
		const known = tips.get(from);
		if (!known || Date.now() - known.at > 3000) {
			const answer = await fetch(from).catch(() => undefined);
			if (!answer?.ok || answer.redirected) { return; }
			tips.set(from, { at: Date.now(), html: await answer.text() });
		}
		if (pointed !== tile) { return; }
		tip.innerHTML = tips.get(from).html;
		tip.hidden = false;
		const box = tile.getBoundingClientRect();
		tip.style.left = Math.max(4, Math.min(box.left, innerWidth - tip.offsetWidth - 8)) + scrollX + "px";
		tip.style.top = (box.bottom + tip.offsetHeight + 8 < innerHeight ? box.bottom + 4 : box.top - tip.offsetHeight - 4) + scrollY + "px";
	}
	const quiet = () => { pointed = undefined; tip.hidden = true; };
	if (tip) {
		const point = (event) => { const tile = event.target.closest("a.tile"); if (!tile) { quiet(); } else if (tile !== pointed) { tell(tile); } };
		main.addEventListener("pointerover", point);
		main.addEventListener("focusin", point);
		addEventListener("keydown", (event) => { if (event.key === "Escape") { quiet(); } });
	}
})();
