// The kernels as the driver's stand-in launches them.
#pragma once

#include <cstddef>
#include <string>

namespace standin {

struct Kernel {
    const char *module, *name;
    size_t bytes;  // Of its one argument.
    void (*invoke)(const void *argument);
};

const Kernel *find_kernel(const std::string &module, const char *name);
void run(const Kernel &kernel, unsigned blocks, unsigned threads, const void *argument);

}  // namespace standin
