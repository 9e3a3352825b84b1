// A plan: the parts of a stack of layers, read once in Python, and all that must still be the same for them to be the
// right ones. Called with the next tokens, it looks, and runs the kernel of `lif_stack` itself where the dispatcher
// would go straight there. Reading modules in Python and an op's way through Python, a schema and boxes take longer
// than the kernel does. Tensors are read anew at every call, as is all that can change without a trace.
#ifdef SPIKESEQ_PYTHON  // Python's headers are there
#include <ATen/Functions.h>
#include <ATen/PythonTorchFunctionTLS.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/autograd/forward_grad.h>
#include <torch/csrc/autograd/python_variable.h>
#endif
#include <torch/library.h>

#include <optional>
#include <string>
#include <vector>

#include "stack.h"

namespace spikeseq {
namespace {

#if defined(SPIKESEQ_PYTHON) && !defined(Py_GIL_DISABLED)  // which keeps dictionaries as they are while one looks

const char* const kName = "spikeseq.plan";

// Where the dispatcher finds nothing else to do than to call the kernel of a CPU: no mode, no transform, no tracing,
// no autocast; tensors that are dense and nobody's own.
bool straight(c10::DispatchKeySet keys) {
  using Key = c10::DispatchKey;
  constexpr c10::DispatchKeySet kPassed({Key::CPU, Key::AutogradCPU, Key::ADInplaceOrView, Key::BackendSelect});
  const auto local = c10::impl::tls_local_dispatch_key_set();
  return ((((keys | local.included_) - local.excluded_).raw_repr()) & ~kPassed.raw_repr()) == 0;
}

// Whether what runs now is seen by nobody: no gradients of any kind, no profiler, no Python that stands in for ops.
bool unseen() {
  return !c10::GradMode::is_enabled() && !at::hasCallbacks() && !at::impl::torch_function_mode_enabled() &&
         !torch::autograd::ForwardADLevel::try_get_by_idx(0);
}

// A tensor or a parameter of no other class, which has something in it.
const at::Tensor* tensor(PyObject* object) {
  if (!THPVariable_CheckExact(object)) return nullptr;
  const at::Tensor& t = THPVariable_Unpack(object);
  return t.defined() ? &t : nullptr;
}

// What a dictionary holds, by identity. What is compared with is kept alive, so that nothing else can take its place.
struct Held {
  py::dict dict;
  std::vector<std::pair<py::object, py::object>> items;

  explicit Held(py::dict given) : dict(std::move(given)) {
    for (const auto& [key, value] : dict)
      items.emplace_back(py::reinterpret_borrow<py::object>(key), py::reinterpret_borrow<py::object>(value));
  }

  bool same() const {
    if (PyDict_Size(dict.ptr()) != static_cast<Py_ssize_t>(items.size())) return false;
    PyObject *key, *value;
    Py_ssize_t place = 0;
    auto item = items.begin();
    while (PyDict_Next(dict.ptr(), &place, &key, &value)) {
      if (item->first.ptr() != key || item->second.ptr() != value) return false;
      ++item;
    }
    return true;
  }
};

// A module, its class, and the forward that the class has.
struct Kind {
  py::object module, kind, forward, dict;

  explicit Kind(py::object given)
      : module(std::move(given)), kind(py::type::of(module)), forward(kind.attr(name())), dict(module.attr("__dict__")) {}

  static py::handle name() {
    static PyObject* const forward = PyUnicode_InternFromString("forward");
    return forward;
  }

  bool same() const {
    if (Py_TYPE(module.ptr()) != reinterpret_cast<PyTypeObject*>(kind.ptr())) return false;
    const auto now = py::reinterpret_steal<py::object>(PyObject_GenericGetDict(module.ptr(), nullptr));
    const auto found = py::reinterpret_steal<py::object>(PyObject_GetAttr(kind.ptr(), name().ptr()));
    if (!found) throw py::error_already_set();
    return now.is(dict) && found.is(forward);
  }
};

struct Plan {
  std::vector<Kind> kinds;
  std::vector<Held> held;
  std::vector<std::vector<py::object>> parts;  // weights, biases, leaks, thresholds, in the order of the layers
  double smallest_threshold;
  std::string reset;

  bool same(PyObject* modules) const {
    if (held.empty() || held[0].dict.ptr() != modules) return false;
    for (const Kind& kind : kinds)
      if (!kind.same()) return false;
    for (const Held& one : held)
      if (!one.same()) return false;
    return true;
  }

  // None where it cannot say.
  std::optional<std::tuple<at::Tensor, at::Tensor>> run(PyObject* modules, PyObject* x_, PyObject* state_,
                                                        PyObject* substeps_, PyObject* readout_) const {
    if (!unseen() || Py_TYPE(x_) != reinterpret_cast<PyTypeObject*>(THPVariableClass) || !same(modules)) return {};
    const at::Tensor *x = tensor(x_), *given = state_ == Py_None ? nullptr : tensor(state_);
    if (!x || x->dim() != 3 || !(x->scalar_type() == at::kFloat || x->scalar_type() == at::kDouble)) return {};
    c10::DispatchKeySet keys = x->key_set();
    std::vector<at::Tensor> lists[4];  // which also keep the tensors alive
    for (size_t i = 0; i < parts.size(); ++i)
      for (const py::object& part : parts[i]) {
        const at::Tensor* t = tensor(part.ptr());
        if (!t || t->scalar_type() != x->scalar_type()) return {};
        keys = keys | t->key_set();
        lists[i].push_back(*t);
      }
    const auto& [weights, biases, leaks, thresholds] = lists;
    if (!straight(keys) || weights[0].dim() != 2) return {};
    const int64_t layers = weights.size(), size = weights[0].size(0);
    if (x->size(0) == 0 || x->size(2) != weights[0].size(1)) return {};
    at::Tensor state;
    if (given) {
      if (given->scalar_type() != x->scalar_type() || !straight(given->key_set()) ||
          given->sizes() != at::IntArrayRef({layers, x->size(1), size}))
        return {};
      state = *given;
    } else if (state_ == Py_None) {
      state = at::zeros({layers, x->size(1), size}, x->options());
    } else {
      return {};
    }
    if (!PyLong_CheckExact(substeps_) || !PyUnicode_CheckExact(readout_)) return {};
    const int64_t substeps = PyLong_AsLongLong(substeps_);
    const char* readout = PyUnicode_AsUTF8(readout_);
    if (PyErr_Occurred()) throw python_error();
    const at::Tensor tokens = *x;
    const py::gil_scoped_release release;
    return lif_stack(tokens, state, weights, biases, leaks, thresholds, smallest_threshold, substeps, reset, readout);
  }
};

PyObject* call(PyObject* self, PyObject* const* given, Py_ssize_t count) {
  HANDLE_TH_ERRORS
  TORCH_CHECK_TYPE(count == 5, "a plan takes the modules, tokens, state, substeps and read-out");
  const auto* plan = static_cast<const Plan*>(PyCapsule_GetPointer(self, kName));
  if (!plan) throw python_error();
  auto done = plan->run(given[0], given[1], given[2], given[3], given[4]);
  if (!done) Py_RETURN_NONE;
  const auto out = py::reinterpret_steal<py::object>(THPVariable_Wrap(std::move(std::get<0>(*done))));
  const auto state = py::reinterpret_steal<py::object>(THPVariable_Wrap(std::move(std::get<1>(*done))));
  return PyTuple_Pack(2, out.ptr(), state.ptr());
  END_HANDLE_TH_ERRORS
}

PyMethodDef kCall = {"plan", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&call)), METH_FASTCALL,
                     "(modules, x, state, substeps, readout) -> (out, state), or None"};

// From the modules that were read, the dictionaries that say what they are (first that of the stack's own modules),
// and the parts.
py::object make(const std::vector<py::object>& modules, const std::vector<py::dict>& dicts,
                std::vector<std::vector<py::object>> parts, double smallest_threshold, std::string reset) {
  TORCH_CHECK_VALUE(parts.size() == 4 && !parts[0].empty(), "a plan takes four lists of tensors");
  auto plan = std::make_unique<Plan>(Plan{{}, {}, std::move(parts), smallest_threshold, std::move(reset)});
  for (const py::object& module : modules) plan->kinds.emplace_back(module);
  for (const py::dict& dict : dicts) plan->held.emplace_back(dict);
  const auto capsule = py::reinterpret_steal<py::object>(PyCapsule_New(plan.get(), kName, [](PyObject* self) {
    delete static_cast<Plan*>(PyCapsule_GetPointer(self, kName));
  }));
  if (!capsule) throw py::error_already_set();
  plan.release();
  return py::reinterpret_steal<py::object>(PyCFunction_New(&kCall, capsule.ptr()));
}

PyObject* maker() { return py::cpp_function(make).release().ptr(); }

int64_t address() { return reinterpret_cast<int64_t>(&maker); }

#else
int64_t address() { return 0; }
#endif

}  // namespace

// The address of a function that returns the one that makes plans; 0 where there is none.
TORCH_LIBRARY_FRAGMENT(spikeseq, m) { m.def("plan_maker() -> int", &address); }

}  // namespace spikeseq
