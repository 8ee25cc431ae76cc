// What is nice to have: the theme that was chosen in the console, and a button that
// copies the commands of a block without their prompts and what they print.
const theme = localStorage.getItem("postern.theme");
if (theme === "light" || theme === "dark") {
  document.documentElement.dataset.theme = theme;
}

function commands(code) {
  const typed = [...code.querySelectorAll(".typed")].map((part) => part.textContent);
  return typed.length > 0 ? typed.join("") : code.textContent;
}

if (navigator.clipboard) {
  for (const block of document.querySelectorAll('div.code:not(:has([data-language="text"]))')) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(commands(block.querySelector("code")));
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not copied";
      }
      setTimeout(() => {
        button.textContent = "Copy";
      }, 2000);
    });
    block.append(button);
  }
}
