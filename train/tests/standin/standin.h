// What the three stand-ins share. They let the tests run the CUDA engine where there is no GPU; nothing of the product knows
// of them. They are no model of a GPU's speed.
//
// Work is queued by stream and done as late as a program may rely on: when it waits for it. What a program overwrites too
// early is thus overwritten in time to be noticed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>

namespace standin {

// Everything happens under it.
std::recursive_mutex &lock();
// Gives a stream work, or a recording of it where one is made. Returns a CUresult.
int enqueue(void *stream, std::function<void()> work);
// Whether a whole number of bytes at an address is memory of the device.
bool is_on_device(const void *address, size_t bytes);
// Whether a stream is making a recording.
bool is_recording(void *stream);
// Of the pretended device, as 90.
int capability();
// The value of a variable of the environment, or another one where it is not set.
long long setting(const char *name, long long otherwise);

}  // namespace standin
