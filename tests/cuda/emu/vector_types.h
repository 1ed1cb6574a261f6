/* CUDA's vector types with their alignments: a float4 lies at a multiple of 16 bytes, or the access is an error. */
#ifndef EMU_VECTOR_TYPES_H
#define EMU_VECTOR_TYPES_H

#define EMU_VECTOR1(name, type, bytes)                                                                             \
    struct alignas(bytes) name##1 { type x; };                                                                     \
    static inline name##1 make_##name##1(type x) { return { x }; }
#define EMU_VECTOR2(name, type, bytes)                                                                             \
    struct alignas(bytes) name##2 { type x, y; };                                                                  \
    static inline name##2 make_##name##2(type x, type y) { return { x, y }; }
#define EMU_VECTOR3(name, type, bytes)                                                                             \
    struct alignas(bytes) name##3 { type x, y, z; };                                                               \
    static inline name##3 make_##name##3(type x, type y, type z) { return { x, y, z }; }
#define EMU_VECTOR4(name, type, bytes)                                                                             \
    struct alignas(bytes) name##4 { type x, y, z, w; };                                                            \
    static inline name##4 make_##name##4(type x, type y, type z, type w) { return { x, y, z, w }; }
#define EMU_VECTORS(name, type, one, two, four)                                                                    \
    EMU_VECTOR1(name, type, one)                                                                                   \
    EMU_VECTOR2(name, type, two) EMU_VECTOR3(name, type, one) EMU_VECTOR4(name, type, four)

EMU_VECTORS(char, signed char, 1, 2, 4)
EMU_VECTORS(uchar, unsigned char, 1, 2, 4)
EMU_VECTORS(short, short, 2, 4, 8)
EMU_VECTORS(ushort, unsigned short, 2, 4, 8)
EMU_VECTORS(int, int, 4, 8, 16)
EMU_VECTORS(uint, unsigned, 4, 8, 16)
EMU_VECTORS(long, long, 8, 16, 16)
EMU_VECTORS(ulong, unsigned long, 8, 16, 16)
EMU_VECTORS(longlong, long long, 8, 16, 16)
EMU_VECTORS(ulonglong, unsigned long long, 8, 16, 16)
EMU_VECTORS(float, float, 4, 8, 16)
EMU_VECTORS(double, double, 8, 16, 16)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

#endif
