// A real RandomX hash loop, for tests and measurements: no pool, no wallet, no network.
//
//	randomx SECONDS THREADS [jit] [secure] [aes] [large] [full] [anew|hop]
//
// anew hashes in a child for a second, then in the next one, until the time is over; hop does too, and each is the child of the
// one before. They need memory for the tables once only.
//
// full fills only a part of the 2 GiB data set, so that it starts in seconds; what the loop executes is the same. It writes
// "ready" when hashing begins and "hashes N" at the end.
#include <pthread.h>
#include <randomx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 256
#define PART 256 // of the data set that full fills

static randomx_flags flags = RANDOMX_FLAG_DEFAULT;
static randomx_cache *cache;
static randomx_dataset *dataset;
static struct timespec stop;
static int anew, hop;

struct worker {
	pthread_t thread;
	int number;
	unsigned long hashes;
};

static int over(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > stop.tv_sec || (now.tv_sec == stop.tv_sec && now.tv_nsec >= stop.tv_nsec);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned char input[80] = {0}, hash[RANDOMX_HASH_SIZE];
	randomx_vm *vm = randomx_create_vm(flags, cache, dataset);

	if (!vm) {
		fprintf(stderr, "thread %d: cannot make a virtual machine with these flags\n", w->number);
		exit(1);
	}
	memcpy(input, &w->number, sizeof(w->number));
	while (!over()) {
		memcpy(input + 8, &w->hashes, sizeof(w->hashes));
		randomx_calculate_hash(vm, input, sizeof(input), hash);
		w->hashes++;
	}
	randomx_destroy_vm(vm);
	return NULL;
}

static int flag(const char *name)
{
	static const struct {
		const char *name;
		randomx_flags flag;
	} known[] = {
		{"jit", RANDOMX_FLAG_JIT},        {"secure", RANDOMX_FLAG_SECURE},   {"aes", RANDOMX_FLAG_HARD_AES},
		{"large", RANDOMX_FLAG_LARGE_PAGES}, {"full", RANDOMX_FLAG_FULL_MEM},
	};

	if (!strcmp(name, "anew"))
		return anew = 1;
	if (!strcmp(name, "hop"))
		return anew = hop = 1;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!strcmp(name, known[i].name)) {
			flags |= known[i].flag;
			return 1;
		}
	}
	return 0;
}

// renew returns in processes that are to hash for a second, and never in the one that makes them.
static void renew(void)
{
	struct timespec end = stop;

	while (!over()) {
		pid_t child = fork();

		if (child < 0) {
			perror("fork");
			exit(1);
		}
		if (child == 0) {
			clock_gettime(CLOCK_MONOTONIC, &stop);
			stop.tv_sec++;
			if (!hop)
				return;
			child = fork(); // the parent hashes, its child waits for its turn
			if (child != 0)
				return;
			while (!over())
				usleep(10000);
			stop = end;
			continue;
		}
		waitpid(child, NULL, 0);
		if (hop)
			break;
	}
	exit(0);
}

int main(int argc, char **argv)
{
	static struct worker workers[MAX_THREADS];
	unsigned long hashes = 0;
	double seconds;
	int threads;

	if (argc < 3 || (seconds = atof(argv[1])) <= 0 || (threads = atoi(argv[2])) < 1 || threads > MAX_THREADS) {
		fprintf(stderr, "usage: %s SECONDS THREADS [jit] [secure] [aes] [large] [full] [anew|hop]\n", argv[0]);
		return 2;
	}
	for (int i = 3; i < argc; i++) {
		if (!flag(argv[i])) {
			fprintf(stderr, "%s: unknown flag %s\n", argv[0], argv[i]);
			return 2;
		}
	}
	cache = randomx_alloc_cache(flags);
	if (!cache) {
		fprintf(stderr, "cannot allocate the cache with these flags\n");
		return 1;
	}
	randomx_init_cache(cache, "minewarden", 10);
	if (flags & RANDOMX_FLAG_FULL_MEM) {
		dataset = randomx_alloc_dataset(flags);
		if (!dataset) {
			fprintf(stderr, "cannot allocate the data set\n");
			return 1;
		}
		randomx_init_dataset(dataset, cache, 0, randomx_dataset_item_count() / PART);
	}

	clock_gettime(CLOCK_MONOTONIC, &stop);
	stop.tv_sec += (time_t)seconds;
	stop.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
	if (stop.tv_nsec >= 1000000000) {
		stop.tv_sec++;
		stop.tv_nsec -= 1000000000;
	}
	fprintf(stderr, "ready\n");
	if (anew)
		renew();
	for (int i = 0; i < threads; i++) {
		workers[i].number = i;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) {
			perror("start a thread");
			return 1;
		}
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		hashes += workers[i].hashes;
	}
	printf("hashes %lu\n", hashes);
	return 0;
}
