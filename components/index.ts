/** The component package: what `pulumi package add` gives to programs in any language. */
export { MaterializedViewRefresh } from "./materializedViewRefresh";
