import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// The build must give the same bytes wherever it is made: no times, no paths of the machine, names from contents.
export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // a data: address would need a hole in the content security policy
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    sourcemap: false,
    chunkSizeWarningLimit: 400,
    rolldownOptions: {
      checks: { pluginTimings: false, bundlerTimings: false } as never,
      output: {
        // What all views share comes with the first script: one request, not thirty small ones.
        // The rest comes by the people who use it: fewer, larger files pack better.
        codeSplitting: {
          groups: [
            { name: "base", test: /[\\/]src[\\/](api|parts|shell|show)[\\/]|[\\/]campaign[\\/](Undo|Resolve)\.|[\\/]node_modules[\\/](svelte|clsx|esm-env)[\\/]/ },
            { name: "work", test: /[\\/]views[\\/](allow|appeals|approvals|cases|decisions|linked|policies)[\\/]/ },
            { name: "site", test: /[\\/]views[\\/](artifacts|credentials|ledger|settings|system|users)[\\/]|[\\/]src[\\/]proof[\\/]/ },
          ],
        },
      },
    },
  },
  worker: { format: "es" },
  server: {
    proxy: { "/api": { target: process.env.PALLADIUM_URL ?? "http://127.0.0.1:7070" } },
  },
});
