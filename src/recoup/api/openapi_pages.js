// Find an operation by any word of it, open the one that the address names, copy a call.
const find = document.querySelector("input");
const operations = [...document.querySelectorAll("details")];
find.addEventListener("input", () => {
  const words = find.value.toLowerCase().split(/\s+/);
  for (const one of operations) {
    const text = one.querySelector("summary").textContent.toLowerCase();
    one.hidden = !words.every((word) => text.includes(word));
  }
  for (const group of document.querySelectorAll("section")) {
    group.hidden = !group.querySelector("details:not([hidden])");
  }
});
const open = () => {
  const one = document.getElementById(location.hash.slice(1));
  if (one instanceof HTMLDetailsElement) one.open = true;
};
addEventListener("hashchange", open);
open();
document.addEventListener("click", async (event) => {
  if (!event.target.classList.contains("copy")) return;
  await navigator.clipboard.writeText(event.target.nextElementSibling.textContent);
  event.target.textContent = "copied";
});
