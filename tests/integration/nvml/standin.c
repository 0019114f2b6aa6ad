/* A stand-in for the part of Nvidia's management library that activity/gpu.py asks: what the file
 * named by $NVML_STANDIN says. One line for each device:
 *     utilization memory_used mig pid pid ...
 * A utilization of -1 is "not supported", -2 hangs, -3 is a device that fell off the bus. A first
 * line "error N" lets every call but nvmlErrorString fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUCCESS 0
#define NOT_SUPPORTED 3
#define INSUFFICIENT_SIZE 7
#define GPU_IS_LOST 15

typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct {
    unsigned int pid;
    unsigned long long used;
    unsigned int gpu_instance, compute_instance;
} process_t;
typedef struct {
    int utilization, mig;
    unsigned int pids[256], count;
    unsigned long long memory;
} device_t;

static device_t devices[16];
static unsigned int count;

static int load(void) {
    char line[4096];
    FILE *file = fopen(getenv("NVML_STANDIN"), "r");
    int error = SUCCESS;
    count = 0;
    while (file && count < 16 && fgets(line, sizeof line, file)) {
        device_t *d = &devices[count];
        char *rest = line;
        if (sscanf(line, "error %d", &error) == 1) break;
        d->utilization = strtol(rest, &rest, 10);
        d->memory = strtoull(rest, &rest, 10);
        d->mig = strtol(rest, &rest, 10);
        for (d->count = 0; d->count < 256; d->count++) {
            char *end;
            d->pids[d->count] = strtoul(rest, &end, 10);
            if (end == rest) break;
            rest = end;
        }
        count++;
    }
    if (file) fclose(file);
    return error;
}

int nvmlInit_v2(void) { return load(); }
int nvmlDeviceGetCount_v2(unsigned int *found) { int e = load(); *found = count; return e; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    *device = &devices[index];
    return devices[index].utilization == -3 ? GPU_IS_LOST : SUCCESS;
}
int nvmlDeviceGetName(void *device, char *name, unsigned int length) {
    (void)device;
    snprintf(name, length, "Stand-in A10G");
    return SUCCESS;
}
int nvmlDeviceGetMigMode(void *device, unsigned int *current, unsigned int *pending) {
    *current = *pending = ((device_t *)device)->mig;
    return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(void *device, utilization_t *found) {
    int value = ((device_t *)device)->utilization;
    if (value == -2) for (;;) pause();
    if (value < 0) return NOT_SUPPORTED;
    found->gpu = value;
    found->memory = 0;
    return SUCCESS;
}
int nvmlDeviceGetMemoryInfo(void *device, memory_t *found) {
    found->total = 24ull << 30;
    found->used = ((device_t *)device)->memory;
    found->free = found->total - found->used;
    return SUCCESS;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *room, process_t *found) {
    device_t *d = device;
    unsigned int had = *room;
    *room = d->count;
    if (had < d->count) return INSUFFICIENT_SIZE;
    memset(found, 0, had * sizeof *found);
    for (unsigned int i = 0; i < d->count; i++) {
        found[i].pid = d->pids[i];
        found[i].used = d->memory;
    }
    return SUCCESS;
}
const char *nvmlErrorString(int code) {
    return code == 9 ? "Driver Not Loaded" : code == GPU_IS_LOST ? "GPU is lost" : "Unknown Error";
}
