"""Every name of jax and jaxlib that is not public API, and nothing else.

Supported window: Python 3.11 to 3.13, jax 0.10.2 to 0.12. The rest of the code base imports from
here, so that a new release of jax is met in one folder.

traces     traces, tracers, types and settings
rules      JAX's rules of its own primitives, running on our tracers
keys       random keys
dispatch   the C++ dispatcher
effects    which effects are ordered, JAX's callback for debugging
forms      JAX's values as plain ones
executables  executables as bytes, and back
staging    a call of one primitive as `jax.jit` traces it
lowering   MLIR
mesh       meshes and named axes
"""

# ruff: noqa: E402, F401, I001 (exports; the version is checked before anything is imported)

from __future__ import annotations

import jax

SUPPORTED_JAX = ((0, 10, 2), (0, 13))  # from, and up to but not including

if not SUPPORTED_JAX[0] <= jax.__version_info__ < SUPPORTED_JAX[1]:
    raise ImportError(
        f"jaxcore works with jax 0.10.2 to 0.12, but jax {jax.__version__} is installed. Fix: "
        "pip install 'jax>=0.10.2,<0.13'."
    )

from jaxcore.backend.traces import (
    JaxPrimitive,
    ShapedArray,
    SymbolicZero,
    Trace,
    Tracer,
    UndefinedPrimal,
    Zero,
    add_any_p,
    as_size,
    at_top_level,
    canonicalize_dtype,
    current_trace,
    eval_jaxpr,
    eval_trace,
    exclude_from_tracebacks,
    flag,
    float0,
    is_concrete,
    is_extended,
    is_symbolic,
    itemsize_bits,
    jit_p,
    promoted_type,
    set_current_trace,
    size_value,
    source_file_is_jax,
    trace_context,
    trace_ctx,
    tree_differences,
    zeros_like_aval,
)
from jaxcore.backend.rules import (
    abstract_eval,
    ad,
    batch,
    batching,
    close_jaxpr,
    composite_p,
    cond_p,
    conversion_error,
    custom_exception,
    custom_vmap_p,
    eval_jaxpr_p,
    expand_hi,
    function_jaxpr,
    hi_has_jvp,
    hi_p,
    holds_program,
    is_jaxpr,
    is_plain,
    jvp_rule,
    linear_call_p,
    linear_solve_p,
    linearize_hi,
    linearize_jaxpr,
    name_p,
    needs_devices,
    perturbed,
    platform_index_p,
    put_stores,
    ragged_dot_general_p,
    remat_p,
    require_devices,
    reset_stores,
    run_backward,
    scan_counts,
    scan_p,
    single_equation_jaxpr,
    take_stores,
    transpose,
    while_p,
)
from jaxcore.backend.keys import (
    KeyType,
    canonicalize_shape,
    key_implementation,
    key_words,
    random_bits_p,
    random_clone_p,
    random_fold_in_p,
    random_seed_p,
    random_split_p,
    random_unwrap_p,
    random_wrap_p,
    safe_to_cast,
    threefry2x32_p,
    typed_key,
    user_dtype,
)
from jaxcore.backend.dispatch import (
    Array,
    NonFinite,
    committed_sharding,
    dispatcher,
    fast_path,
    with_weak_type,
)
from jaxcore.backend.interpreters import jit_equation_params, teach
from jaxcore.backend.effects import debug_callback_p, debug_effect, is_value, ordered_effects
from jaxcore.backend.forms import plain_form
from jaxcore.backend.executables import (
    NotStorable,
    compile_environment,
    module_bytes,
    pack,
    several_processes,
    unpack,
)
from jaxcore.backend.staging import traced_call
from jaxcore.backend.lowering import (
    TOKEN,
    TokenSet,
    func_dialect,
    has_symbolic_shapes,
    ir,
    ir_type,
    lower_function,
    lower_jaxpr,
    lower_with_jax,
    manual_context,
    mlir,
    partitions,
    physical_aval,
    platforms_of,
)

from jaxcore.backend.mesh import (
    UNSPECIFIED,
    PartitionSpec,
    all_gather_invariant_p,
    all_gather_p,
    all_to_all_p,
    axis_index_p,
    automatic,
    axis_is_bound,
    batch_spec,
    check_out_specs,
    context_mesh,
    device_sharding,
    effect_axes,
    has_explicit_axes,
    is_automatic,
    manual,
    manual_mesh,
    moves_arguments,
    named_axis,
    named_shardings,
    new_manual_axes,
    order_wrt_mesh,
    pbroadcast_p,
    placement,
    plain,
    pmax_p,
    pmin_p,
    ppermute_p,
    prefix_errors,
    proper_effects,
    psum_invariant_p,
    psum_p,
    pvary_p,
    reduce_scatter_p,
    reshaped,
    retyped,
    shard_aval,
    shard_map_p,
    sharding_constraint_p,
    spec_axes,
    unchecked,
    unmentioned_axes,
    unshard_aval,
    use_abstract_mesh,
    varying,
)

for _file in ("traces", "rules", "dispatch", "lowering", "mesh"):
    exclude_from_tracebacks(__file__.replace("__init__", _file))
