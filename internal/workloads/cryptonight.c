// cryptonight runs the inner loop of the CryptoNight family without being a miner: a 2 MiB scratchpad per thread, filled by
// AES rounds, then 524,288 dependent steps of one AES round, one 64x64 multiplication and two scratchpad accesses whose
// addresses are masked to 16-byte lines. It hashes nothing that a pool would accept and talks to nobody.
//
//	cc -O2 -maes -pthread -o cryptonight cryptonight.c
//	cryptonight SECONDS THREADS [PERCENT]
//
// PERCENT throttles each thread to that share of the time. It prints READY when the loops start, and the count at the end.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wmmintrin.h>

#define MEMORY (1u << 21)
#define STEPS (1u << 19)
#define MASK 0x1ffff0u
#define MAX_THREADS 256

static double deadline;
static double share = 1;
static uint64_t counts[MAX_THREADS];

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

// fill spreads the key over the scratchpad, as the first phase of the family does.
static void fill(uint8_t *pad, __m128i key) {
	__m128i block[8];
	for (int i = 0; i < 8; i++)
		block[i] = _mm_set_epi64x(i, 0x9e3779b97f4a7c15 * (i + 1));
	for (size_t at = 0; at < MEMORY; at += sizeof block) {
		for (int round = 0; round < 10; round++)
			for (int i = 0; i < 8; i++)
				block[i] = _mm_aesenc_si128(block[i], key);
		memcpy(pad + at, block, sizeof block);
	}
}

// mix is the memory-hard phase.
static uint64_t mix(uint8_t *pad, uint64_t seed) {
	uint64_t a0 = seed, a1 = ~seed;
	__m128i b = _mm_set_epi64x(seed >> 7, seed << 9);
	for (uint32_t step = 0; step < STEPS; step++) {
		__m128i *line = (__m128i *)(pad + (a0 & MASK));
		__m128i c = _mm_aesenc_si128(_mm_load_si128(line), _mm_set_epi64x(a1, a0));
		_mm_store_si128(line, _mm_xor_si128(b, c));
		b = c;
		uint64_t *next = (uint64_t *)(pad + ((uint64_t)_mm_cvtsi128_si64(c) & MASK));
		uint64_t low = next[0], high = next[1];
		unsigned __int128 product = (unsigned __int128)(uint64_t)_mm_cvtsi128_si64(c) * low;
		a0 += (uint64_t)(product >> 64);
		a1 += (uint64_t)product;
		next[0] = a0;
		next[1] = a1;
		a0 ^= low;
		a1 ^= high;
	}
	return a0 ^ a1;
}

static void *work(void *arg) {
	long id = (long)arg;
	uint8_t *pad = aligned_alloc(64, MEMORY);
	if (!pad)
		return NULL;
	uint64_t seed = 0x243f6a8885a308d3 + id;
	while (now() < deadline) {
		double start = now();
		fill(pad, _mm_set_epi64x(seed, id));
		seed = mix(pad, seed);
		counts[id]++;
		if (share < 1)
			usleep((useconds_t)((now() - start) * (1 - share) / share * 1e6));
	}
	free(pad);
	return NULL;
}

int main(int argc, char **argv) {
	if (argc < 3) {
		fprintf(stderr, "usage: cryptonight SECONDS THREADS [PERCENT]\n");
		return 2;
	}
	int threads = atoi(argv[2]);
	if (threads < 1 || threads > MAX_THREADS) {
		fprintf(stderr, "cryptonight: THREADS must be 1 to %d, not %s\n", MAX_THREADS, argv[2]);
		return 2;
	}
	if (argc > 3)
		share = atof(argv[3]) / 100;
	if (share <= 0 || share > 1) {
		fprintf(stderr, "cryptonight: PERCENT must be 1 to 100\n");
		return 2;
	}
	deadline = now() + atof(argv[1]);
	printf("READY\n");
	fflush(stdout);
	pthread_t thread[MAX_THREADS];
	for (long i = 0; i < threads; i++) {
		if (pthread_create(&thread[i], NULL, work, (void *)i) != 0) {
			fprintf(stderr, "cryptonight: cannot start thread %ld\n", i);
			return 1;
		}
	}
	uint64_t sum = 0;
	for (int i = 0; i < threads; i++) {
		pthread_join(thread[i], NULL);
		sum += counts[i];
	}
	printf("%llu\n", (unsigned long long)sum);
	return 0;
}
