// Diagrams, and links to a line of code: its tab is opened first.
function openTab() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const content = target && target.closest(".sd-tab-content");
  if (content) {
    content.previousElementSibling.previousElementSibling.checked = true;
    target.scrollIntoView();
  }
  for (let outer = target; outer; outer = outer.parentElement) if (outer.tagName === "DETAILS") outer.open = true;
}
addEventListener("hashchange", openTab);
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((details) => (details.open = true)));
addEventListener("DOMContentLoaded", () => {
  openTab();
  if (document.querySelector("pre.mermaid")) {
    const mermaid = globalThis.mermaid.default || globalThis.mermaid;
    mermaid.initialize({ startOnLoad: false, theme: "neutral" });
    mermaid.run({ querySelector: "pre.mermaid" });
  }
});
