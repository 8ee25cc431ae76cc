import { useQuery } from "@tanstack/react-query";
import { UserRound } from "lucide-react";
import { whoami } from "../api/queries";
import { Menu, MenuChoice, MenuTitle } from "../ui/menu";
import { chooseTheme, theme } from "./theme";

const themes = [
  { value: "system", label: "As the device" },
  { value: "light", label: "Light" },
  { value: "dark", label: "Dark" },
] as const;

/** AccountMenu is what one can do with oneself. */
export function AccountMenu({ ws: _ }: { ws: string }) {
  const me = useQuery(whoami);
  return (
    <Menu
      label="Your account"
      trigger={
        <button type="button" className="nav-link account-button">
          <UserRound aria-hidden />
          <span className="account-name">{me.data?.principal.name ?? "Your account"}</span>
          {me.data && <span className="dim small">{me.data.role.name}</span>}
        </button>
      }
    >
      <MenuTitle>Theme</MenuTitle>
      <MenuChoice options={themes} value={theme()} onChange={chooseTheme} />
    </Menu>
  );
}
