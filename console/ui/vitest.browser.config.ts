import { basename } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

// The journeys leave behind what the views then show: decisions, an appeal, an approval. Second factors end sessions: they come last.
const order = ["journey", "states", "views", "speed", "signin"];
class InOrder extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = (f: TestSpecification) => order.indexOf(basename(f.moduleId).split(".")[0]!);
    return [...files].sort((a, b) => place(a) - place(b));
  }
}

// Tests in a real browser. They run one after another: they share the world, and the machine.
export default defineConfig({
  test: {
    include: ["e2e/**/*.e2e.ts"], fileParallelism: false, sequence: { concurrent: false, sequencer: InOrder }, testTimeout: 60_000, hookTimeout: 60_000,
    reporters: ["verbose"], globalSetup: ["e2e/browser.ts"],
  },
});
