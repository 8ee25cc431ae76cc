import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { UserRound } from "lucide-react";
import { useAct } from "../api/act";
import { whoami } from "../api/queries";
import { signOut } from "../api/sessions";
import { Menu, MenuChoice, MenuItem, MenuLine, MenuLink, MenuTitle } from "../ui/menu";
import { chooseTheme, theme, themes } from "./theme";

/** roleTitle is what people call a role that is built in; others have their name. */
function roleTitle(name: string): string {
  const builtIn = ["owner", "admin", "editor", "operator", "viewer", "verifier"].includes(name);
  return builtIn ? name.charAt(0).toUpperCase() + name.slice(1) : name;
}

/** AccountMenu is what one can do with oneself. */
export function AccountMenu() {
  const me = useQuery(whoami);
  const navigate = useNavigate();
  const queries = useQueryClient();
  const leave = useAct(
    (_: undefined) => signOut(),
    () => {
      queries.clear();
      void navigate({ to: "/signin" });
    },
  );
  return (
    <Menu
      label="Your account"
      trigger={
        <button type="button" className="nav-link account-button">
          <UserRound aria-hidden />
          <span className="account-name">{me.data?.principal.name ?? "Your account"}</span>
          {me.data && <span className="dim small">{roleTitle(me.data.role.name)}</span>}
        </button>
      }
    >
      {me.data?.session && <MenuItem onSelect={() => navigate({ to: "/account" })}>Your account</MenuItem>}
      <MenuLink href="/docs/">Documentation</MenuLink>
      <MenuLine />
      <MenuTitle>Theme</MenuTitle>
      <MenuChoice options={themes} value={theme()} onChange={chooseTheme} />
      {me.data?.session && (
        <>
          <MenuLine />
          <MenuItem onSelect={() => leave.send(undefined)}>Sign out</MenuItem>
        </>
      )}
    </Menu>
  );
}
