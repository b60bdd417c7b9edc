import { defineConfig } from "vitest/config";

// Tests in a real browser. They run one after another: they share the world, and the machine.
export default defineConfig({
  test: { include: ["e2e/**/*.e2e.ts"], fileParallelism: false, sequence: { concurrent: false }, testTimeout: 60_000, hookTimeout: 60_000, reporters: ["verbose"], globalSetup: ["e2e/browser.ts"] },
});
