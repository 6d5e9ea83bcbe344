package isolate

const victim = "MINEWARDEN_TEST_VICTIM"

func beVictim() int { return 0 }
