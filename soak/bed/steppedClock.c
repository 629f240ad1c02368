/*
 * The time of day as this machine has it and so much ahead, for programs that are started with LD_PRELOAD. The offset, in
 * microseconds, is read from shared memory: a step is there for all processes at once, costs nothing, and may be looked at
 * in a signal handler. Clocks that do not step when an administrator sets the time are left alone.
 *
 * libfaketime would not do: while a process waits in epoll_wait, its signal handlers see the true time, so that
 * PostgreSQL's timeouts come too early or never.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t none = 0;
static const volatile int64_t *ahead_us = &none;
static int (*true_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
  const char *name = getenv("STEPPED_CLOCK_FILE");
  int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  true_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  if (file < 0) return;
  void *shared = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (shared != MAP_FAILED) ahead_us = shared;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  if (!true_clock) begin();
  int result = true_clock(clock, now);
  if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
  int64_t us = *ahead_us;
  now->tv_sec += us / 1000000;
  now->tv_nsec += us % 1000000 * 1000;
  if (now->tv_nsec < 0) now->tv_sec -= 1, now->tv_nsec += 1000000000;
  if (now->tv_nsec >= 1000000000) now->tv_sec += 1, now->tv_nsec -= 1000000000;
  return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  struct timespec precise;
  int result = clock_gettime(CLOCK_REALTIME, &precise);
  if (result == 0) *now = (struct timeval){precise.tv_sec, precise.tv_nsec / 1000};
  return result;
}

time_t time(time_t *where) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (where) *where = precise.tv_sec;
  return precise.tv_sec;
}
