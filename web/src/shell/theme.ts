/** Theme is how light the page is; system follows the device. */
export type Theme = "system" | "light" | "dark";

const place = "postern.theme";

/** theme is what was chosen on this device: the only thing the console keeps there. */
export function theme(): Theme {
  const kept = localStorage.getItem(place);
  return kept === "light" || kept === "dark" ? kept : "system";
}

/** chooseTheme keeps a choice and applies it. */
export function chooseTheme(choice: Theme) {
  if (choice === "system") {
    localStorage.removeItem(place);
  } else {
    localStorage.setItem(place, choice);
  }
  applyTheme();
}

/** applyTheme gives the page the theme that was chosen. */
export function applyTheme() {
  const chosen = theme();
  if (chosen === "system") {
    delete document.documentElement.dataset.theme;
  } else {
    document.documentElement.dataset.theme = chosen;
  }
}

/** themes are those that can be chosen. */
export const themes = [
  { value: "system", label: "As the device" },
  { value: "light", label: "Light" },
  { value: "dark", label: "Dark" },
] as const;
