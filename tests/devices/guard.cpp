// Makes a torch that was built for the CPU alone answer "yes" when it is asked for one CUDA or
// Apple device, and do nothing where it would switch streams or devices. See emulator.py.
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <cstdlib>
#include <cstring>

namespace c10::impl {
template <DeviceType D>
struct OneDeviceGuard : public NoOpDeviceGuardImpl<D> {
  Device exchangeDevice(Device) const override { return Device(D, 0); }
  Device getDevice() const override { return Device(D, 0); }
  Stream getStream(Device) const noexcept override {
    return Stream(Stream::DEFAULT, Device(D, 0));
  }
  Stream getNewStream(Device, int priority = 0) const override {
    return Stream(Stream::DEFAULT, Device(D, 0));
  }
  Stream exchangeStream(Stream) const noexcept override {
    return Stream(Stream::DEFAULT, Device(D, 0));
  }
  void record(void**, const Stream&, const DeviceIndex, const EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override {}
  void synchronizeDevice(const DeviceIndex) const override {}
  void recordDataPtrOnStream(const c10::DataPtr&, const Stream&) const override {}
};
using CudaGuard = OneDeviceGuard<DeviceType::CUDA>;
using MpsGuard = OneDeviceGuard<DeviceType::MPS>;
C10_REGISTER_GUARD_IMPL(CUDA, CudaGuard)
C10_REGISTER_GUARD_IMPL(MPS, MpsGuard)
}  // namespace c10::impl

static bool emulated(const char* kind) {
  const char* asked = getenv("DMLIB_EMULATED_DEVICE");
  return strcmp(asked ? asked : "cuda", kind) == 0;
}

namespace at {
struct CUDAHooks : public CUDAHooksInterface {
  explicit CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool isBuilt() const override { return emulated("cuda"); }
  bool isAvailable() const override { return emulated("cuda"); }
  bool hasCUDA() const override { return emulated("cuda"); }
  bool hasPrimaryContext(DeviceIndex) const override { return false; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex current_device() const override { return 0; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(DeviceIndex) const override {}
  DeviceIndex exchangeDevice(DeviceIndex) const override { return 0; }
  DeviceIndex maybeExchangeDevice(DeviceIndex) const override { return 0; }
  int getNumGPUs() const override { return 1; }
};
REGISTER_CUDA_HOOKS(CUDAHooks);

struct MPSHooks : public MPSHooksInterface {
  void init() const override {}
  bool isBuilt() const override { return emulated("mps"); }
  bool isAvailable() const override { return emulated("mps"); }
  bool hasMPS() const override { return emulated("mps"); }
  bool hasPrimaryContext(DeviceIndex) const override { return false; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex getCurrentDevice() const override { return 0; }
};
REGISTER_MPS_HOOKS(MPSHooks);
}  // namespace at
