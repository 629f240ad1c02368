/** The version that history records, equal to that in package.json: the bundle carries no package.json. */
export const HANDLER_VERSION = "0.2.0";
