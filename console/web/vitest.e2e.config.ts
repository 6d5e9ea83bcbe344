import "./test/node20.ts";
import { defineConfig } from "vitest/config";

// One browser and one agent serve all files, one after the other.
export default defineConfig({
  test: {
    include: ["test/e2e/*.test.ts"],
    environment: "node",
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 180_000,
    bail: 0,
  },
});
