/** esbuild takes the styles out of the script into a file of their own. */
declare module "*.css";
