"""Shapes, axes, dtypes, indices: mistakes with arrays inside a traced function."""

from promises.mistakes import N, W, X, jax, np, table

ROWS, mistake = table()
BOTH = "x float32[2,8]", "w float32[9,4]"


@mistake(TypeError, "x float32[2,8] @ w float32[9,4]")
def matmul(m):
    def f(x, w):
        return x @ w  # wrong

    m.jit(f)(X, W)


@mistake(TypeError, "x float32[2,8] @ w float32[9,4]")
def matmul_function(m):
    def f(x, w):
        h = m.numpy.sin(x) * 2
        h = h + 1.0
        return m.numpy.dot(x, w)  # wrong

    m.jit(f)(X, W)


@mistake(
    TypeError,
    "x float32[2,8] @ blocks_1/up/kernel float32[9,4]",
    "params['blocks_1']['up']['kernel'] of f",
)
def matmul_with_a_leaf(m):
    def dense(w, x):
        return x @ w  # wrong

    def f(params, x):
        return dense(params["blocks_1"]["up"]["kernel"], x)

    m.jit(f)({"blocks_1": {"up": {"kernel": W}}}, X)


@mistake(TypeError, "x float32[2,8] + w float32[9,4]")
def add(m):
    def f(x, w):
        return m.numpy.tanh(x + w)  # wrong

    m.jit(f)(X, W)


@mistake(ValueError, "bias float32[4] + x float32[2,8]")
def bias_of_another_width(m):
    def f(x, bias):
        return bias + x  # wrong

    with jax.numpy_rank_promotion("allow"):
        m.jit(f)(X, W[0])


@mistake(TypeError, "x float32[2,8] + w float32[9,4]")
def augmented_assignment(m):
    def f(x, w):
        x += w  # wrong
        return x

    m.jit(f)(X, W)


@mistake(ValueError, *BOTH, "x > 0 bool[2,8]")
def where(m):
    def f(x, w):
        return m.numpy.where(x > 0, x, w)  # wrong

    m.jit(f)(X, W)


@mistake(TypeError, *BOTH)
def concatenate(m):
    def f(x, w):
        return m.numpy.concatenate([x, w], axis=0)  # wrong

    m.jit(f)(X, W)


@mistake(ValueError, *BOTH)
def stack(m):
    def f(x, w):
        return m.numpy.stack([x, w])  # wrong

    m.jit(f)(X, W)


@mistake(TypeError, "x float32[2,8]", "(3, 5)")
def reshape(m):
    def f(x):
        return x.reshape(3, 5)  # wrong

    m.jit(f)(X)


@mistake(ValueError, *BOTH)
def einsum(m):
    def f(x, w):
        return m.numpy.einsum("ij,jk->ik", x, w)  # wrong

    m.jit(f)(X, W)


@mistake(ValueError, "x float32[2,8]", "axis 2")
def reduce_axis(m):
    def f(x):
        return x.sum(axis=2)  # wrong

    m.jit(f)(X)


@mistake(IndexError, "x float32[2,8]", "axis 3")
def argmax_axis(m):
    def f(x):
        return m.numpy.argmax(x, axis=3)  # wrong

    m.jit(f)(X)


@mistake(ValueError, "x float32[2,8]")
def transpose(m):
    def f(x):
        return m.numpy.transpose(x, (0, 1, 2))  # wrong

    m.jit(f)(X)


@mistake(ValueError, "x float32[2,8]")
def squeeze(m):
    def f(x):
        return m.numpy.squeeze(x, 0)  # wrong

    m.jit(f)(X)


@mistake(ValueError, "x float32[2,8]", "(3, 8)")
def broadcast_to(m):
    def f(x):
        return m.numpy.broadcast_to(x, (3, 8))  # wrong

    m.jit(f)(X)


@mistake(ValueError, "x float32[2,8]")
def split(m):
    def f(x):
        return m.numpy.split(x, 3, axis=1)  # wrong

    m.jit(f)(X)


@mistake(ValueError, "image float32[1,3,4,4]", "filters float32[2,5,3,3]")
def convolution(m):
    def f(image, filters):
        return m.lax.conv_general_dilated(image, filters, (1, 1), "SAME")  # wrong

    m.jit(f)(np.ones((1, 3, 4, 4), np.float32), np.ones((2, 5, 3, 3), np.float32))


@mistake(TypeError, "x[0, :3] float32[3]", "n int32[3]")
def lax_dtypes(m):
    def f(x, n):
        return m.lax.mul(x[0, :3], n) + x.sum()  # wrong

    m.jit(f)(X, N)


@mistake(TypeError, "x float32[2,8] ^ x float32[2,8]")
def bits_of_floats(m):
    def f(x):
        return x ^ x  # wrong

    m.jit(f)(X)


@mistake(TypeError, "x float32[2,8]", "float33")
def dtype_name(m):
    def f(x):
        return x.astype("float33")  # wrong

    m.jit(f)(X)


@mistake(TypeError, "<class 'str'> at position 0")
def text_in_place_of_an_array(m):
    def f(x):
        return x + m.numpy.sin("abc")  # wrong

    m.jit(f)(X)


@mistake(OverflowError, "n int32[3]", "1099511627776")
def large_integer(m):
    def f(n):
        return n * 2**40  # wrong

    m.jit(f)(N)


@mistake(TypeError, "x float32[2,8]", ".at[index].set(value)")
def item_assignment(m):
    def f(x):
        x[0] = 1.0  # wrong
        return x

    m.jit(f)(X)


@mistake(AttributeError, "x float32[2,8]", "cuda")
def method_of_another_library(m):
    def f(x):
        return x.cuda()  # wrong

    m.jit(f)(X)


@mistake(IndexError, "x float32[2,8]", "index 5", "axis 0 with size 2", only_ours=True)
def index_out_of_bounds(m):
    def f(x):
        return x[5]  # wrong

    m.jit(f)(X)


@mistake(IndexError, "x float32[2,8]", "index 9", "axis 1 with size 8", only_ours=True)
def update_out_of_bounds(m):
    def f(x):
        return x.at[0, 9].set(0.0)  # wrong

    m.jit(f)(X)


@mistake(IndexError, "x float32[2,8]", "3 were indexed")
def too_many_indices(m):
    def f(x):
        return x[0, 0, 0]  # wrong

    m.jit(f)(X)


@mistake(TypeError, "x float32[2,8]", "float")
def float_index(m):
    def f(x):
        return x[x.shape[1] / 8]  # wrong

    m.jit(f)(X)


@mistake(TypeError, "x float32[2,8]", "non-tuple sequence")
def list_index(m):
    def f(x):
        return x[[0, 1]]  # wrong

    m.jit(f)(X)


@mistake(IndexError, "x float32[2,8]", "n ~int32[]", "dynamic_slice")
def slice_to_a_traced_end(m):
    def f(x, n):
        return x[:n]  # wrong

    m.jit(f)(X, 1)


@mistake(jax.errors.NonConcreteBooleanIndexError, "x float32[2,8]", "x > 0 bool[2,8]", "where(")
def mask(m):
    def f(x):
        return x[x > 0].sum()  # wrong

    m.jit(f)(X)


@mistake(ValueError, "x float32[2,8]", "w float32[9,4]")
def update_of_another_shape(m):
    def f(x, w):
        return x.at[0].set(w)  # wrong

    m.jit(f)(X, W)


@mistake(TypeError, "x float32[2,8]")
def dynamic_slice_size(m):
    def f(x):
        return m.lax.dynamic_slice(x, (0, 0), (3, 1))  # wrong

    m.jit(f)(X)


@mistake(ValueError, "x float32[2,8]")
def inverse_of_a_rectangle(m):
    def f(x):
        return m.numpy.linalg.inv(x)  # wrong

    m.jit(f)(X)
